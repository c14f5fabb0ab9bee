"""Every arm answers every item once, whatever is killed, split or missing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.peft_format import load_peft
from code2lora_lsp.repopeftbench.arms.arm import NotRun
from code2lora_lsp.repopeftbench.results import adapter_folder, read_all_answers, read_not_run
from code2lora_lsp.repopeftbench.runner import Plan, Shard, crossed_items, run
from tests.fakes import random_adapter
from tests.repopeftbench.made_up import MadeUpArm, asked, items_of

ROOT = Path(__file__).parents[2]
REPOSITORIES = ("ada/one", "ada/two", "ada/three")


def a_plan(folder, *arms, **fields):
    states = [asked(name) for name in REPOSITORIES]
    return Plan(**{"folder": folder, "asked": states, "arms": arms, "model": "m1"} | fields)


def test_every_arm_answers_every_item_in_order(tmp_path):
    plan = a_plan(tmp_path, MadeUpArm("first"), MadeUpArm("second"))
    assert run(plan, Shard()) == []
    sets = read_all_answers(tmp_path)
    assert [(s.origin.arm, s.origin.repository) for s in sets] == [
        (arm, name) for arm in ("first", "second") for name in sorted(REPOSITORIES)
    ]
    for one in sets:
        assert list(one.answers) == [i.item_id for i in items_of(one.origin.repository, 20)]
        assert one.origin.cost == plan.arms[0].cost


def test_a_killed_run_resumes_at_the_first_target_that_is_not_complete(tmp_path):
    dying = MadeUpArm(dies_after=33)
    with pytest.raises(KeyboardInterrupt):
        run(a_plan(tmp_path, dying), Shard())
    assert [s.origin.repository for s in read_all_answers(tmp_path)] == ["ada/one"]
    again = MadeUpArm()
    run(a_plan(tmp_path, again), Shard())
    assert {step[0] for step in again.log} == {"prepare", "ada/two", "ada/three"}
    assert sum(len(s.answers) for s in read_all_answers(tmp_path)) == 60
    third = MadeUpArm()
    run(a_plan(tmp_path, third), Shard())
    assert third.log == []


def test_an_arm_that_cannot_run_is_reported_and_the_others_run(tmp_path):
    plan = a_plan(tmp_path, MadeUpArm("dense", missing="no encoder"), MadeUpArm("plain"))
    assert run(plan, Shard()) == [NotRun("dense", "no encoder")]
    assert read_not_run(tmp_path) == [NotRun("dense", "no encoder")]
    assert {s.origin.arm for s in read_all_answers(tmp_path)} == {"plain"}


def test_trouble_with_one_repository_is_reported_and_tried_again_next_time(tmp_path):
    plan = a_plan(tmp_path, MadeUpArm(unreadable=frozenset({"ada/two"})))
    (trouble,) = run(plan, Shard())
    assert (trouble.arm, trouble.notes) == ("made-up", ("ada+two.knowledge@dddddddddddd",))
    assert "object missing" in trouble.reason
    assert read_not_run(tmp_path) == [trouble]
    assert run(a_plan(tmp_path, MadeUpArm()), Shard()) == []
    assert read_not_run(tmp_path) == []


def test_a_leak_stops_the_run(tmp_path):
    class Leak(Exception):
        pass

    arm = MadeUpArm()
    arm.prepare = lambda target: (_ for _ in ()).throw(Leak(target.repository))
    with pytest.raises(Leak, match="ada/one"):
        run(a_plan(tmp_path, arm), Shard())


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("model", {"model": "m2"}),
        ("items_digest", {"asked": [asked(name, 19) for name in REPOSITORIES]}),
        (
            "known_commit_id",
            {"asked": [asked(name, commit="d" * 12 + "e" * 28) for name in REPOSITORIES]},
        ),
        ("recipe", {"arms": (MadeUpArm(recipe_key="rank 8"),)}),
    ],
)
def test_answers_to_anything_else_are_never_mixed_in(tmp_path, named, change):
    plan = a_plan(tmp_path, MadeUpArm())
    run(plan, Shard())
    with pytest.raises(ConfigError, match=rf"ada\+one.*jsonl .*its {named} changed"):
        run(replace(plan, **change), Shard())


def test_crossed_arms_answer_the_same_items_of_every_other_repository(tmp_path):
    crossing, plain = MadeUpArm("crossing"), MadeUpArm("plain")
    plan = a_plan(tmp_path, crossing, plain, crossed={"crossing"}, n_crossed_items=5)
    run(plan, Shard())
    crossed = [s for s in read_all_answers(tmp_path) if not s.origin.is_own]
    assert {(s.origin.arm, s.origin.donor, s.origin.repository) for s in crossed} == {
        ("crossing", donor, name)
        for donor in REPOSITORIES
        for name in REPOSITORIES
        if donor != name
    }
    for one in crossed:
        chosen = crossed_items(items_of(one.origin.repository, 20), 5)
        assert list(one.answers) == [item.item_id for item in chosen]
    assert [step for step in crossing.log if step[0] == "prepare"] == [
        ("prepare", name) for name in REPOSITORIES
    ]


def test_the_newest_state_of_a_task_answers_for_other_repositories_and_all_their_states(tmp_path):
    states = [
        asked("ada/one", 3, commit="1" * 40),
        asked("ada/one", 3, commit="2" * 40),
        asked("ada/two", 2),
        asked("ada/two", 4, task="static", strata={"filtered": "no"}),
    ]
    run(a_plan(tmp_path, MadeUpArm(), asked=states, crossed={"made-up"}), Shard())
    crossed = [s for s in read_all_answers(tmp_path) if not s.origin.is_own]
    known = {(s.origin.donor, s.origin.known_commit_id[0]): len(s.answers) for s in crossed}
    assert known == {("ada/one", "2"): 2, ("ada/two", "d"): 3}


def test_items_taken_as_they_come_are_not_crossed():
    plain = items_of("ada/one", 4, strata={"filtered": "no"})
    asking = items_of("ada/two", 4, strata={"filtered": "yes"})
    assert crossed_items([*plain, *asking], 100) == asking


def test_crossing_an_arm_later_adds_only_what_is_missing(tmp_path):
    run(a_plan(tmp_path, MadeUpArm()), Shard())
    later = MadeUpArm()
    run(a_plan(tmp_path, later, crossed={"made-up"}, n_crossed_items=4), Shard())
    assert len([step for step in later.log if step[0] != "prepare"]) == 6 * 4


def test_adapters_are_kept_as_peft_folders(tmp_path):
    adapter = random_adapter(seed=4)
    arms = [MadeUpArm(name, adapters={"ada/two": adapter}) for name in ("made-up", "made-up/mean")]
    run(a_plan(tmp_path, *arms), Shard())
    kept = load_peft(adapter_folder(tmp_path, "made-up", asked("ada/two").state))
    assert kept.adapter_id == adapter.adapter_id
    assert not adapter_folder(tmp_path, "made-up", asked("ada/one").state).exists()
    assert not adapter_folder(tmp_path, "made-up/mean", asked("ada/two").state).exists()


def test_shards_share_all_states_and_none_twice():
    states = [asked(f"ada/{number}", 1) for number in range(7)]
    parts = [Shard(index, 3).of(states) for index in range(3)]
    assert sorted(one.state for part in parts for one in part) == [one.state for one in states]
    assert [len(part) for part in parts] == [3, 2, 2]


@pytest.mark.slow
def test_two_processes_answer_everything_once(tmp_path):
    script = tmp_path / "both.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from tests.repopeftbench.made_up import MadeUpArm\n"
        "from tests.repopeftbench.test_runner import a_plan\n"
        "from code2lora_lsp.repopeftbench.runner import run, this_shard\n"
        "arm = MadeUpArm()\n"
        "shard = this_shard()\n"
        f"run(a_plan(Path({str(tmp_path)!r}), arm), shard)\n"
        "names = sorted({step[1] for step in arm.log if step[0] == 'prepare'})\n"
        f"(Path({str(tmp_path)!r}) / f'rank{{shard.index}}').write_text(' '.join(names))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script)],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rank0").read_text() == "ada/one ada/three"
    assert (tmp_path / "rank1").read_text() == "ada/two"
    assert len(read_all_answers(tmp_path)) == 3
