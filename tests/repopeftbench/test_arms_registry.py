"""Every arm by name: each answers every item or says why it cannot."""

import json
import math
from dataclasses import replace

import pytest

from code2lora_lsp.repopeftbench.arms.gradient import TrainingPlan
from code2lora_lsp.repopeftbench.arms.registry import ArmOptions, Arms
from code2lora_lsp.repopeftbench.results import own_path
from tests.repopeftbench.test_arms_adapters import Planted, write_checkpoint
from tests.repopeftbench.test_arms_ledger import write_population
from tests.repopeftbench.test_arms_sharp import write_gates
from tests.repopeftbench.tiny_bench import ENGINE, SETTINGS, WHEELS, garage_item

PLAN = TrainingPlan(n_steps=2, rows_per_step=1, row_tokens=64, rank=2, alpha=4.0)


@pytest.fixture
def options(scorer, model_folder, garage, pantry, tmp_path):
    for name, text in (("a+one", ENGINE), ("b+two", WHEELS)):
        (tmp_path / "corpus" / "train").mkdir(parents=True, exist_ok=True)
        record = json.dumps({"path": "a.py", "text": text})
        (tmp_path / "corpus" / "train" / f"{name}.jsonl").write_text(record + "\n")
    return ArmOptions(
        scorer=scorer,
        model_folder=model_folder,
        work_folder=tmp_path / "work",
        targets=(garage, pantry),
        corpus=tmp_path / "corpus",
        population=write_population(tmp_path / "population", model_folder),
        gates=write_gates(tmp_path, model_folder),
        checkpoint=write_checkpoint(tmp_path / "evo"),
        repository_plan=PLAN,
        matched_plan=PLAN,
        matched_plan_7=PLAN,
        shared_plan=PLAN,
        learning_rates=(1e-3,),
        settings=SETTINGS,
    )


def all_arms(options):
    arms = Arms(options)
    return [arms.arm(name) for name in arms.names]


EXPECTED = {
    "backbone", "longer-prompt", "bm25-3", "bm25-8", "dense-3", "dense-8", "dependencies",
    "nearest-snippet", "wrong-repository-snippet", "unigram-cache", "full-fine-tuning",
    "full-fine-tuning-bm25-3", "shared-lora", "per-repository-lora", "matched-lora",
    "matched-lora-7", "code2lora-static",
    "code2lora-evo", "ledger", "ledger-64", "ledger-shuffled", "sharp", "ledger-sharp",
    "matched-lora-sharp", "matched-lora-7-sharp", "sharp-near", "ledger-sharp-near",
}  # fmt: skip


SOURCES = (
    "per-repository-lora", "matched-lora", "matched-lora-7", "code2lora-static",
    "code2lora-evo", "ledger", "ledger-64", "ledger-shuffled",
)  # fmt: skip


def test_every_name_can_be_a_folder(options, tmp_path):
    folders = {own_path(tmp_path, name, "state").parent for name in Arms(options).names}
    assert len(folders) == len(Arms(options).names)


def test_every_arm_runs_here_and_answers_every_item(options, garage):
    items = [
        garage_item(garage),
        garage_item(garage, "inflate_tyre", "(3)", identifier="", suffix=""),
        garage_item(garage, strata={"prefix": "32"}),
    ]
    arms = all_arms(options)
    names = [arm.name for arm in arms]
    assert set(names) >= EXPECTED
    assert {n for n in names if "/" in n} == {
        f"{source}/{kind}"
        for source in SOURCES
        for kind in ("mean", "stale:1", "stale:5", "stale:20")
    }
    assert len(names) == len(set(names))
    for arm in arms:
        assert arm.why_not() is None, arm.name
        if arm.name.endswith((":5", ":20")):  # longer than this history
            continue
        answers = arm.prepare(garage).answer(items)
        assert len(answers) == len(items)
        for item, answer in zip(items, answers, strict=True):
            assert math.isfinite(answer.target_nats), arm.name
            assert answer.target_nats >= 0
            assert (answer.identifier_nats is None) == (item.identifier == "")
            assert answer.prompt_tokens > 0


def test_arms_are_built_by_name_and_share_their_source(options, pantry):
    arms = Arms(options)
    assert arms.arm("code2lora-evo") is arms.adapter_arm("code2lora-evo")
    other = arms.arm("code2lora-evo/other:bob/pantry")
    assert other.name == "code2lora-evo/other:bob/pantry"
    assert other.adapter(pantry) is arms.adapter_arm("code2lora-evo").adapter(pantry)
    assert arms.arm("code2lora-static/stale:2").name == "code2lora-static/stale:2"
    for name in ("bm25", "code2lora-evo/other:no/body", "code2lora-evo/stale:x", "backbone/mean"):
        with pytest.raises(ValueError, match="known are backbone, longer-prompt"):
            arms.arm(name)


def test_an_adapter_arm_given_gets_its_controls(options, garage, pantry):
    planted = Planted({garage.known_commit_id: None, pantry.known_commit_id: None})
    arms = Arms(replace(options, adapter_arms=(planted,)))
    assert {"planted", "planted/mean", "planted/stale:1"} <= set(arms.names)
    assert arms.adapter_arm("planted").adapter(pantry) is None


def test_what_cannot_run_stays_in_the_list_with_its_reason(options):
    bare = replace(
        options, corpus=None, checkpoint=None, population=None, targets=options.targets[:1]
    )
    reasons = {arm.name: arm.why_not() for arm in all_arms(bare)}
    absent = {name for name, reason in reasons.items() if reason is not None}
    assert absent == {
        "full-fine-tuning", "full-fine-tuning-bm25-3", "shared-lora", "wrong-repository-snippet",
        "per-repository-lora/mean", "matched-lora/mean", "matched-lora-7/mean",
        *(n for n in reasons if n.startswith(("code2lora", "ledger"))),
    }  # fmt: skip
    assert "no population" in reasons["ledger-64"]
    assert "no corpus folder" in reasons["shared-lora"]
    assert "no Code2LoRA checkpoint" in reasons["code2lora-evo/stale:5"]
