"""Walking, training and asking: who sees what when, where gradients reach, what controls change."""

import itertools
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.commit_memory import (
    CommitMemory,
    CommitMemoryConfig,
    Metric,
    OutputHead,
    nats_of,
)
from code2lora_lsp.training.commit_memory.alarms import mean_cosine
from code2lora_lsp.training.commit_memory.evaluation import (
    difference,
    score,
    score_under_the_next,
    told_by_the_next,
    told_shuffled,
)
from code2lora_lsp.training.commit_memory.inputs import N_LIVE, Repository, Tokens
from code2lora_lsp.training.commit_memory.marks import Mark
from code2lora_lsp.training.commit_memory.training import TrainingPlan, train
from code2lora_lsp.training.commit_memory.walk import Arm, Walk, World, step_all

D, F, V, X = 6, 10, 15, 4 + N_LIVE
GATED = Arm("gated", gates="gru", style="gru")
CONSTANT = Arm("constant", gates="constant")
LEDGER = Arm("ledger")


def tokens(generator, own, n=4):
    """A repository's own key asks for its own token."""
    keys = torch.randn(n, F, generator=generator) * 0.1
    keys[:, own] += 3.0
    outputs = torch.randn(n, D, generator=generator)
    return Tokens(
        keys, outputs, outputs + 0.01, torch.full((n,), own),
        torch.full((n,), int(Mark.FRESH | Mark.NAME | Mark.RARE | Mark.KNOWN), dtype=torch.int8),
    )  # fmt: skip


def repository(own, n_commits=20):
    generator = torch.Generator().manual_seed(own)
    items = tuple(tokens(generator, own) for _ in range(n_commits))
    told = torch.randn(n_commits, X, generator=generator)
    told[:, -N_LIVE:] = 0
    updates = torch.zeros(n_commits // 16, D, F)
    return Repository(f"owner/{own}", items, items, told, torch.ones(n_commits, 2), updates)


@pytest.fixture
def repositories():
    return [repository(own) for own in (1, 2, 3)]


@pytest.fixture
def memory():
    torch.manual_seed(0)
    return CommitMemory(
        CommitMemoryConfig(X, D, F, hidden_width=8, step=0.3, decay=0.9, prior_tokens=2.0)
    )


@pytest.fixture
def world():
    generator = torch.Generator().manual_seed(9)
    head = OutputHead(torch.ones(D), 1e-6, torch.randn(V, D, generator=generator))
    return World(head, Metric(torch.eye(F), torch.eye(D)))


def test_a_commit_is_asked_before_the_memory_has_seen_it(memory, world, repositories):
    walk = Walk(repositories[0], memory.initial_state())
    first = step_all(memory, CONSTANT, [walk], world)[0]
    items = repositories[0].items[0]
    assert torch.allclose(first.nats, nats_of(items.moved, items.next_ids, world.head))
    assert walk.commit == 1
    assert walk.state.fast.any()


def test_what_commits_repeat_is_known_better_and_better(memory, world, repositories):
    answers = score(memory, CONSTANT, repositories, world)[0].answers
    assert float(answers[-1].nats.mean()) < float(answers[0].nats.mean()) - 1


def test_without_ledger_the_backbones_own_outputs_are_moved(memory, world, repositories):
    items = repositories[0].items[0]
    alone = step_all(
        memory,
        Arm("backbone", ledger=0.0),
        [Walk(repositories[0], memory.initial_state())],
        world,
    )
    assert torch.allclose(alone[0].nats, nats_of(items.outputs, items.next_ids, world.head))


def test_walking_side_by_side_is_walking_one_by_one(memory, world, repositories):
    together = score(memory, GATED, repositories, world)
    alone = [score(memory, GATED, [one], world)[0] for one in repositories]
    for both, one in zip(together, alone, strict=True):
        assert both.means == pytest.approx(one.means, abs=1e-4)


@pytest.mark.parametrize("through_errors", [False, True])
def test_every_trainable_tensor_gets_a_gradient_through_eight_commits(
    memory, world, repositories, through_errors
):
    walk = Walk(repositories[0], memory.initial_state())
    world = world._replace(through_errors=through_errors)
    for _ in range(8):
        first = walk.commit == 0
        answer = step_all(memory, GATED, [walk], world)[0]
        if first:
            answer.state.fast.retain_grad()
            earliest = answer.state.fast
    step_all(memory, GATED, [walk], world)[0].nats.sum().backward()
    silent = [n for n, p in memory.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert earliest.grad is not None
    assert earliest.grad.any()


def test_training_makes_the_next_commit_cheaper(memory, world, repositories):
    before = [one.means["token"] for one in score(memory, GATED, repositories, world)]
    clock = itertools.count(0.0, 1.0).__next__
    plan = TrainingPlan(n_bptt=8, repositories_at_once=2, cpu_s=30.0, learning_rate=1e-2)
    lines = list(train(memory, GATED, repositories, world, plan, clock))
    after = [one.means["token"] for one in score(memory, GATED, repositories, world)]
    assert sum(after) < sum(before) - 1
    assert lines[0].keys() >= {"cosine_fast", "cosine_style", "spread_hidden", "saturated"}
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_repository_that_is_over_makes_room_for_the_next(memory, world, repositories):
    short = [replace(one, items=one.items[:3], writes=one.writes[:3]) for one in repositories]
    clock = itertools.count(0.0, 1.0).__next__
    plan = TrainingPlan(repositories_at_once=2, cpu_s=12.0)
    assert len(list(train(memory, GATED, short, world, plan, clock))) == 11


def test_another_order_of_commits_tells_the_gru_the_same_rows(memory, world, repositories):
    scored = score(memory, GATED, repositories, world)
    own = torch.stack([answer.told for answer in scored[0].answers])
    shuffled = told_shuffled(scored)[0]
    assert not torch.equal(own, shuffled)
    assert torch.equal(own.sort(dim=0).values, shuffled.sort(dim=0).values)
    other = torch.stack([answer.told for answer in scored[1].answers])
    assert torch.equal(told_by_the_next(scored)[0], other)


def test_told_otherwise_only_the_gru_changes(memory, world, repositories):
    scored = score(memory, GATED, repositories, world)
    instead = score(memory, GATED, repositories, world, told_by_the_next(scored))
    assert instead[0].means != scored[0].means
    own = score(memory, CONSTANT, repositories, world)
    same = score(memory, CONSTANT, repositories, world, told_by_the_next(scored))
    assert same[0].means == own[0].means


def test_another_repositorys_update_does_not_know_this_ones_tokens(memory, world, repositories):
    scored = score(memory, CONSTANT, repositories, world)
    under = score_under_the_next(memory, CONSTANT, repositories, scored, world)
    assert all(o["token"] > s.means["token"] + 1 for o, s in zip(under, scored, strict=True))


def test_a_difference_is_the_mean_over_repositories_that_have_the_stratum():
    found = difference([{"a": 1.0}, {"a": 2.0}, {}], [{"a": 2.0}, {"a": 4.0}, {"a": 9.0}], "a")
    assert (found.mean, found.n_better, found.n) == (-1.5, 2, 2)
    assert found.low <= -1.5 <= found.high
    with pytest.raises(ValueError, match="'b'"):
        difference([{"a": 1.0}], [{"a": 1.0}], "b")


def test_equal_updates_have_cosine_one():
    one = torch.randn(3, 4)
    assert mean_cosine([one, one, one]) == pytest.approx(1.0)
    assert mean_cosine([one, -one]) == pytest.approx(-1.0)
    assert mean_cosine([one]) == 0.0
