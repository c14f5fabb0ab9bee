"""Arms that answer with an adapter, and the controls made from them."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.neural.code2lora.checkpoint import Code2LoraCheckpoint, save_checkpoint
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.manifest import BackboneReference
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection
from code2lora_lsp.recipe import SOURCE_V1
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.adapter_mean import mean_adapter
from code2lora_lsp.repopeftbench.arms.allowed_history import allowed_history, texts_in_diff
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Target
from code2lora_lsp.repopeftbench.arms.code2lora import (
    Code2LoraEvoArm,
    Code2LoraStaticArm,
    FollowedCheckpoint,
    embedded_checkpoint,
)
from code2lora_lsp.repopeftbench.arms.derived import MeanArm, OtherArm, StaleArm, earlier
from tests.fakes import random_adapter
from tests.gitrepo import GitRepo
from tests.neural.tiny_code2lora import manifest, random_head
from tests.repopeftbench.tiny_bench import SMALL, garage_item


class Planted:
    """Gives every target the adapter planted for its known commit and counts how often."""

    name = "planted"
    recipe_key = "1"

    def __init__(self, adapters):
        self.adapters, self.asked = adapters, []

    def why_not(self):
        return None

    def ready(self):
        pass

    def adapter(self, target):
        self.asked.append(target.known_commit_id)
        return self.adapters[target.known_commit_id]

    def n_commits(self, target):
        return 7


def a_target(name, commit):
    return Target(name, None, commit)


def deltas(adapter):
    return {p: pair.delta(adapter.scale) for p, pair in adapter.pairs.items()}


def assert_same_effect(one, other):
    first, second = deltas(one), deltas(other)
    assert first.keys() == second.keys()
    for projection, delta in first.items():
        assert torch.allclose(delta, second[projection], atol=1e-5), projection


@pytest.mark.parametrize("n_equal", [1, 3, 20])
def test_the_mean_of_equal_adapters_equals_it(n_equal):
    adapter = random_adapter(SMALL)
    assert_same_effect(mean_adapter([adapter] * n_equal), adapter)


@pytest.mark.parametrize("n_different", [2, 12])
def test_the_mean_has_the_mean_update_whatever_the_ranks_and_scales(n_different):
    adapters = [
        random_adapter(SMALL, seed, rank=2 + seed % 3, scale=0.2 + 0.1 * seed)
        for seed in range(n_different)
    ]
    mean = mean_adapter(adapters)
    expected = [deltas(adapter) for adapter in adapters]
    for projection, delta in deltas(mean).items():
        wanted = sum(delta_of[projection] for delta_of in expected) / n_different
        assert torch.allclose(delta, wanted, atol=1e-5)
    assert mean.rank <= 32


def test_a_projection_an_adapter_lacks_counts_as_zero():
    pair = LoraPair(torch.full((1, 32), 0.5), torch.ones(32, 1))
    one = LoraAdapter({Projection(0, "q_proj"): pair}, 1.0)
    other = LoraAdapter({Projection(0, "o_proj"): pair}, 1.0)
    for delta in deltas(mean_adapter([one, other])).values():
        assert torch.allclose(delta, torch.full((32, 32), 0.25))


def test_pairs_that_layers_share_are_shared_in_the_mean():
    pair = LoraPair(torch.full((2, 32), 0.1), torch.ones(32, 2))
    shared = LoraAdapter({Projection(i, "q_proj"): pair for i in range(4)}, 1.0)
    mean = mean_adapter([shared, shared])
    assert len({id(pair) for pair in mean.pairs.values()}) == 1
    with pytest.raises(ValueError, match="no adapters"):
        mean_adapter([])


def test_given_adapters_change_the_answers(scorer, garage):
    item = garage_item(garage)
    arm = Adapting(Planted({garage.known_commit_id: random_adapter(SMALL)}), scorer)
    none = Adapting(Planted({garage.known_commit_id: None}), scorer)
    adapted, plain = (a.prepare(garage).answer([item])[0] for a in (arm, none))
    assert abs(adapted.target_nats - plain.target_nats) > 0.1
    cost = arm.prepare(garage).cost
    assert cost.n_commits == 7
    assert cost.stored_bytes == arm.adapter(garage).size_bytes


def test_an_adapter_is_made_once_and_kept_on_disk_with_its_cost(scorer, tmp_path):
    target, planted = a_target("a/b", "c1"), Planted({"c1": random_adapter(SMALL)})
    first = Adapting(planted, scorer, tmp_path)
    made = first.made(target)
    first.prepare(target)
    again = Adapting(planted, scorer, tmp_path)
    assert again.adapter(target).adapter_id == made.adapter.adapter_id
    assert again.made(target).cost == made.cost
    assert planted.asked == ["c1"]
    hidden = dataclasses.replace(target, hidden_paths=frozenset({"x.py"}))
    again.adapter(hidden)
    planted.recipe_key = "2"
    Adapting(planted, scorer, tmp_path).adapter(target)
    assert planted.asked == ["c1", "c1", "c1"]


def test_an_adapter_half_written_is_made_again(scorer, tmp_path):
    target, planted = a_target("a/b", "c1"), Planted({"c1": random_adapter(SMALL)})
    Adapting(planted, scorer, tmp_path).made(target)
    next(tmp_path.glob("*/cost.json")).unlink()
    Adapting(planted, scorer, tmp_path).made(target)
    assert planted.asked == ["c1", "c1"]


def test_the_mean_arm_leaves_the_own_repository_out():
    adapters = {f"c{i}": random_adapter(SMALL, i) for i in range(3)}
    targets = [a_target(f"a/{i}", f"c{i}") for i in range(3)]
    arm = MeanArm(Planted(adapters), targets)
    assert_same_effect(arm.adapter(targets[0]), mean_adapter([adapters["c1"], adapters["c2"]]))
    assert "two repositories" in MeanArm(Planted(adapters), targets[:1]).why_not()
    with pytest.raises(CannotPrepare, match="no adapter for any repository but a/0"):
        MeanArm(Planted({"c0": adapters["c0"], "c1": None}), targets[:2]).adapter(targets[0])


def test_the_mean_is_of_those_repositories_that_can_be_read():
    class Damaged(Planted):
        def adapter(self, target):
            if target.repository == "a/2":
                raise GitReadFailed("a blob is missing")
            return super().adapter(target)

    adapters = {f"c{i}": random_adapter(SMALL, i) for i in range(3)}
    targets = [a_target(f"a/{i}", f"c{i}") for i in range(3)]
    assert_same_effect(
        MeanArm(Damaged(adapters), targets).adapter(targets[0]), mean_adapter([adapters["c1"]])
    )


def test_the_other_arm_always_gives_the_other_s_adapter():
    adapters = {"c0": random_adapter(SMALL, 0), "c1": random_adapter(SMALL, 1)}
    own, other = a_target("a/0", "c0"), a_target("a/1", "c1")
    assert OtherArm(Planted(adapters), other).adapter(own) is adapters["c1"]


def test_a_stale_adapter_is_that_of_an_earlier_commit_and_hides_old_names_too(tmp_path):
    repo = GitRepo(tmp_path)
    lines = "".join(f"answer_{i} = compute_{i}(first_{i}, second_{i})\n" for i in range(30))
    repo.commit({"old.py": lines, "a.py": "a = 1\n"})
    before = repo.commit("a.py", "a = 2\n")
    repo.move("old.py", "new.py")
    repo.commit({"notes.txt": "moved\n"})
    repo.commit({"notes.txt": "no source here\n"})
    target = Target("a/b", repo.git_dir, repo.head, frozenset({"new.py"}))
    stale = earlier(target, 1)
    assert stale.known_commit_id == before
    assert stale.hidden_paths == {"old.py"}
    planted = Planted({before: None})
    StaleArm(planted, 1).adapter(target)
    assert planted.asked == [before]
    with pytest.raises(CannotPrepare, match="has 3 commits that touch source"):
        earlier(target, 3)


def write_checkpoint(folder, kind="evo"):
    """A tiny random checkpoint that embeds with the tiny backbone."""
    gru = CommitGruConfig(diff_width=64, snapshot_width=64, hidden_width=20)
    width = 20 if kind == "evo" else 64
    head = random_head(context_width=width)
    made = dataclasses.replace(
        manifest(kind),
        recipe_id=SOURCE_V1.recipe_id,
        embedding_width=SMALL.width,
        backbone=BackboneReference("tiny", SMALL.n_layers),
        head=head.config,
        gru=gru if kind == "evo" else None,
    )
    torch.manual_seed(1)
    module = CommitGru(gru).eval() if kind == "evo" else None
    save_checkpoint(folder, Code2LoraCheckpoint(made, head.eval(), module))
    return folder


@pytest.fixture
def followed(scorer, model_folder, tmp_path):
    def make(kind="evo", **options):
        checkpoint = write_checkpoint(tmp_path / kind, kind)
        backbone, states = scorer.model.backbone, tmp_path / "states"
        return FollowedCheckpoint(backbone, model_folder, checkpoint, states, **options)

    return make


def test_evo_steps_through_the_history_and_static_reads_the_tree(followed, scorer, garage):
    evo, static = Code2LoraEvoArm(followed()), Code2LoraStaticArm(followed())
    assert (evo.why_not(), static.why_not()) == (None, None)
    stepped, read = evo.adapter(garage), static.adapter(garage)
    assert evo.n_commits(garage) == 2  # the anchor is the first commit; car.py's own is hidden
    assert stepped.commit_id == read.commit_id == garage.known_commit_id
    assert stepped.adapter_id != read.adapter_id
    item = garage_item(garage)
    answers = [Adapting(arm, scorer).prepare(garage).answer([item])[0] for arm in (evo, static)]
    assert answers[0].target_nats != answers[1].target_nats


def test_a_static_checkpoint_answers_static_and_refuses_evo(followed, garage):
    checkpoint = followed("static")
    assert Code2LoraStaticArm(checkpoint).adapter(garage) is not None
    assert "no commit gru" in Code2LoraEvoArm(checkpoint).why_not()


def test_hidden_files_do_not_reach_an_adapter(followed, tmp_path):
    adapters = []
    for secret in ("one", "two"):
        repo = GitRepo(tmp_path / secret)
        repo.commit({"a.py": "def visible():\n    return 1\n", "hidden.py": f"{secret} = 1\n" * 20})
        repo.commit({"hidden.py": f"{secret}_more = 2\n" * 20, "a.py": "visible = 2\n" * 5})
        target = Target("a/b", repo.git_dir, repo.head, frozenset({"hidden.py"}))
        adapters += [
            arm(followed()).adapter(target) for arm in (Code2LoraEvoArm, Code2LoraStaticArm)
        ]
    evo_one, static_one, evo_two, static_two = adapters
    for one, two in ((evo_one, evo_two), (static_one, static_two)):
        assert all(torch.equal(one.pairs[p].a, two.pairs[p].a) for p in one.pairs)
        assert all(torch.equal(one.pairs[p].b, two.pairs[p].b) for p in one.pairs)


def test_a_hidden_file_s_text_under_another_name_is_excluded_from_the_history(tmp_path):
    repo = GitRepo(tmp_path)
    lines = [f"answer_{i} = compute_{i}(first_{i}, second_{i})\n" for i in range(30)]
    repo.commit({"a.py": "a = 1\n", "old name.py": "".join(lines)})
    repo.move("old name.py", "new.py")
    repo.commit()
    repo.commit("moved_from.py", "".join(line.replace("answer", "reply") for line in lines))
    repo.commit({"moved_from.py": "z = 1\n", "new.py": "".join(lines) + "x = 1\n"})
    repo.commit("a.py", "a = 2\n")
    target = Target("a/b", repo.git_dir, repo.head, frozenset({"new.py"}))
    history = allowed_history(target, SOURCE_V1)
    rules = history.repository.rules(SOURCE_V1)
    assert rules.withholds("old name.py")
    assert rules.withholds("new.py")
    assert not rules.withholds("a.py")
    assert not rules.withholds("moved_from.py")  # other names: other text


def test_a_diff_is_read_by_file_with_every_line_of_its_hunks():
    diff = (
        "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n-old\n+new\n same\n"
        "diff --git a/gone.py b/gone.py\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-left\n"
    )
    assert texts_in_diff(diff) == {"x.py": "old\nnew\nsame", "gone.py": "left"}


def test_why_code2lora_cannot_run_names_what_is_missing(scorer, model_folder, tmp_path):
    def reason(checkpoint):
        return Code2LoraEvoArm(
            FollowedCheckpoint(scorer.model.backbone, model_folder, checkpoint, tmp_path)
        ).why_not()

    assert "no Code2LoRA checkpoint was given" in reason(None)
    assert str(tmp_path / "absent") in reason(tmp_path / "absent")


def test_a_checkpoint_beside_an_embedded_model_is_found(tmp_path):
    beside = write_checkpoint(tmp_path / "nano-evo")
    given = SimpleNamespace()
    assert embedded_checkpoint(tmp_path / "nano", [None]) == beside
    assert embedded_checkpoint(tmp_path / "nano", [given, None]) is given
    assert embedded_checkpoint(tmp_path / "other", [None]) is None
