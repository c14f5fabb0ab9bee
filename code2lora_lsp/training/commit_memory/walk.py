"""A commit memory walking along repositories: ask the commit, read it, step, write."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from code2lora_lsp.neural.commit_memory import (
    CommitMemory,
    Gates,
    MemoryState,
    Metric,
    OutputHead,
    missed,
    nats_of,
    written,
)
from code2lora_lsp.training.commit_memory.inputs import N_LIVE, Repository, Tokens

Part = Literal["none", "constant", "gru"]


@dataclass(frozen=True)
class Arm:
    """Which parts act.

    Attributes:
        ledger: how much of the exact ledger's update is part of the whole.
        gates: of the fast memory; ``none`` is no fast memory.
        style: ``constant`` is one update for all repositories and commits.
    """

    name: str
    ledger: float = 1.0
    gates: Part = "none"
    style: Part = "none"

    @property
    def has_gru(self) -> bool:
        return "gru" in (self.gates, self.style)

    @property
    def is_trained(self) -> bool:
        return self.has_gru or self.style != "none"

    @property
    def reads_commits(self) -> bool:
        return self.has_gru or self.gates != "none"


class World(NamedTuple):
    """What never changes on a walk.

    Attributes:
        head: what stands behind the written projection.
        metric: of the population.
        through_errors: gradients also flow through what the adapter changes in the errors.
    """

    head: OutputHead
    metric: Metric
    through_errors: bool = False


@dataclass
class Walk:
    """One repository and how far it is read; ``told`` replaces what the gru is told, [T, X]."""

    repository: Repository
    state: MemoryState
    commit: int = 0
    told: Tensor | None = None

    @property
    def is_over(self) -> bool:
        return self.commit >= self.repository.n_commits


@dataclass(frozen=True)
class Answer:
    """What one commit's items cost, and what the commit left behind.

    Attributes:
        nats, marks: of its items, [N].
        told: what the gru was told, [X].
        gates: of its write; ``None`` without a fast memory.
        state: after it.
    """

    nats: Tensor
    marks: Tensor
    told: Tensor
    gates: Gates | None
    state: MemoryState = field(repr=False)


class _Seen(NamedTuple):
    """What a commit writes, with the adapter on: nats, [N], and natural gradients, [N, D]."""

    nats: Tensor
    values: Tensor


def step_all(memory: CommitMemory, arm: Arm, walks: Sequence[Walk], world: World) -> list[Answer]:
    """One commit further in each repository; the head reads all of them at once."""
    items = [walk.repository.items[walk.commit] for walk in walks]
    nats = nats_of(*_stacked(memory, arm, items, walks), world.head)
    split = nats.split([len(one.next_ids) for one in items])
    seen = _seen(memory, arm, walks, world) if arm.reads_commits else [None] * len(walks)
    answers = []
    for walk, each, marks, one in zip(walks, split, [i.marks for i in items], seen, strict=True):
        answers.append(_answer(memory, arm, walk, each, marks, one))
        walk.state, walk.commit = answers[-1].state, walk.commit + 1
    return answers


def outputs_under(memory: CommitMemory, arm: Arm, tokens: Tokens, state: MemoryState) -> Tensor:
    """The last layer's outputs under the whole update, [N, D]."""
    outputs = tokens.outputs + arm.ledger * (tokens.moved - tokens.outputs)
    if arm.gates != "none":
        outputs = outputs + tokens.keys @ state.fast.T
    if arm.style != "none":
        outputs = outputs + memory.styled(tokens.keys, state.style)
    return outputs


def _stacked(
    memory: CommitMemory, arm: Arm, tokens: Sequence[Tokens], walks: Sequence[Walk]
) -> tuple[Tensor, Tensor]:
    both = zip(tokens, walks, strict=True)
    outputs = [outputs_under(memory, arm, one, walk.state) for one, walk in both]
    return torch.cat(outputs), torch.cat([one.next_ids for one in tokens])


def _seen(memory: CommitMemory, arm: Arm, walks: Sequence[Walk], world: World) -> list[_Seen]:
    writes = [walk.repository.writes[walk.commit] for walk in walks]
    with torch.set_grad_enabled(torch.is_grad_enabled() and world.through_errors):
        found = missed(*_stacked(memory, arm, writes, walks), world.head)
        values = found.errors @ world.metric.error_solver
    sizes = [len(one.next_ids) for one in writes]
    pairs = zip(found.nats.detach().split(sizes), values.split(sizes), strict=True)
    return [_Seen(nats, each) for nats, each in pairs]


def _answer(
    memory: CommitMemory, arm: Arm, walk: Walk, nats: Tensor, marks: Tensor, seen: _Seen | None
) -> Answer:
    told, state, gates = walk.repository.told[walk.commit], walk.state, None
    hidden, fast, style = state
    if seen is not None and arm.has_gru:
        told = _told(arm, walk, nats, seen)
        hidden = memory.next_hidden(told, hidden)
    if seen is not None and arm.gates != "none":
        is_gated = arm.gates == "gru"
        gates = memory.gates_at(hidden) if is_gated else memory.config.constant_gates
        keys = walk.repository.writes[walk.commit].keys
        fast = written(fast, keys, seen.values, gates, memory.config.prior_tokens)
    if arm.style == "gru":
        style = memory.style(hidden)
    return Answer(nats, marks, told, gates, MemoryState(hidden, fast, style))


def _told(arm: Arm, walk: Walk, nats: Tensor, seen: _Seen) -> Tensor:
    """What is stored of the commit and what was measured on the way; or what the walk says."""
    if walk.told is not None:
        return walk.told[walk.commit]
    missed_now = torch.log1p(seen.nats.mean()) if len(seen.nats) else torch.zeros(())
    reference = walk.repository.ledger_nats[walk.commit, int(arm.ledger > 0)]
    gained = reference - nats.detach().mean() if len(nats) else torch.zeros(())
    live = torch.stack([missed_now - 1.0, gained])
    stored = walk.repository.told[walk.commit]
    return torch.cat([stored[:-N_LIVE], live])
