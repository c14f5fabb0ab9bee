"""Arms on validation repositories: nats of next-commit tokens, with intervals over repositories."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

from code2lora_lsp.neural.commit_memory import CommitMemory, MemoryState, nats_of
from code2lora_lsp.training.commit_memory.inputs import Repository, is_rare_name
from code2lora_lsp.training.commit_memory.marks import Mark
from code2lora_lsp.training.commit_memory.stored import UPDATES_EVERY
from code2lora_lsp.training.commit_memory.walk import (
    Answer,
    Arm,
    Walk,
    World,
    step_all,
)

N_DRAWS = 4_000


def _everything(marks: Tensor) -> Tensor:
    return torch.ones_like(marks, dtype=torch.bool)


def _is_name(marks: Tensor) -> Tensor:
    return (marks & Mark.NAME) != 0


def _is_known(marks: Tensor) -> Tensor:
    return is_rare_name(marks) & ((marks & Mark.KNOWN) != 0)


def _is_new(marks: Tensor) -> Tensor:
    return is_rare_name(marks) & ((marks & Mark.KNOWN) == 0)


STRATA: Mapping[str, Callable[[Tensor], Tensor]] = {
    "token": _everything, "name": _is_name, "known": _is_known, "new": _is_new,
}  # fmt: skip
"""All tokens; of names out of sight; of rare ones that the tree holds; of rare ones it does not."""

Means = dict[str, float]
"""Stratum → mean nats per token of one repository."""


@dataclass(frozen=True)
class Scored:
    """One arm on one repository.

    Attributes:
        means: nats per token by stratum; a stratum without tokens is absent.
        answers: of every commit.
    """

    means: Means
    answers: tuple[Answer, ...]


@torch.no_grad()
def score(
    memory: CommitMemory,
    arm: Arm,
    repositories: Sequence[Repository],
    world: World,
    told: Sequence[Tensor] | None = None,
) -> list[Scored]:
    """Every repository from its first commit to its last, side by side.

    Args:
        memory: trained, or new for an arm that is not.
        arm: which parts act.
        repositories: each answers commit t + 1 with what it knows after t.
        world: head and metric.
        told: what each one's gru is told instead of its own commits, [T, X].
    """
    walks = [Walk(repository, memory.initial_state()) for repository in repositories]
    for walk, instead in zip(walks, told or [], strict=False):
        walk.told = instead
    answers: list[list[Answer]] = [[] for _ in walks]
    while going := [place for place, walk in enumerate(walks) if not walk.is_over]:
        found = step_all(memory, arm, [walks[place] for place in going], world)
        for place, answer in zip(going, found, strict=True):
            answers[place].append(answer)
    return [Scored(means_of(each), tuple(each)) for each in answers]


def means_of(answers: Sequence[Answer]) -> Means:
    """Nats per token of each stratum that has any."""
    nats = torch.cat([answer.nats for answer in answers])
    marks = torch.cat([answer.marks for answer in answers])
    chosen = {name: is_in(marks) for name, is_in in STRATA.items()}
    return {name: float(nats[rows].mean()) for name, rows in chosen.items() if bool(rows.any())}


def told_shuffled(scored: Sequence[Scored], seed: int = 0) -> list[Tensor]:
    """What each repository's gru was told, its commits in another order."""
    rng = torch.Generator().manual_seed(seed)
    told = [torch.stack([answer.told for answer in one.answers]) for one in scored]
    return [each[torch.randperm(len(each), generator=rng)] for each in told]


def told_by_the_next(scored: Sequence[Scored]) -> list[Tensor]:
    """What the next repository's gru was told, again from its start where it is shorter."""
    told = [torch.stack([answer.told for answer in one.answers]) for one in scored]
    pairs = zip(told, [*told[1:], told[0]], strict=True)
    return [other[torch.arange(len(own)) % len(other)] for own, other in pairs]


@torch.no_grad()
def score_under_the_next(
    memory: CommitMemory,
    arm: Arm,
    repositories: Sequence[Repository],
    scored: Sequence[Scored],
    world: World,
) -> list[Means]:
    """Each repository's items under the next one's whole update of the nearest earlier commit.

    Only where the other's ledger was kept: after every ``UPDATES_EVERY``-th commit.
    """
    found = []
    for place, own in enumerate(repositories):
        other = (place + 1) % len(repositories)
        answers = []
        for commit, items in enumerate(own.items):
            kept = min(commit // UPDATES_EVERY, len(repositories[other].updates)) - 1
            if kept < 0:
                continue
            state = scored[other].answers[(kept + 1) * UPDATES_EVERY - 1].state
            ledger = repositories[other].updates[kept]
            outputs = _under_other(memory, arm, items.keys, items.outputs, state, ledger)
            nats = nats_of(outputs, items.next_ids, world.head)
            answers.append(_bare(nats, items.marks, state))
        found.append(means_of(answers))
    return found


def _under_other(
    memory: CommitMemory,
    arm: Arm,
    keys: Tensor,
    outputs: Tensor,
    state: MemoryState,
    ledger: Tensor,
) -> Tensor:
    whole = arm.ledger * ledger
    if arm.gates != "none":
        whole = whole + state.fast
    if arm.style != "none":
        whole = whole + memory.style_update(state.style)
    return outputs + keys @ whole.T


def _bare(nats: Tensor, marks: Tensor, state: MemoryState) -> Answer:
    return Answer(nats, marks, torch.zeros(0), None, state)


@dataclass(frozen=True)
class Difference:
    """Mean over repositories with a 95 % interval by bootstrap over them."""

    mean: float
    low: float
    high: float
    n_better: int
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}] {self.n_better}/{self.n}"


def difference(
    arm: Sequence[Means], reference: Sequence[Means], stratum: str, seed: int = 0
) -> Difference:
    """Arm − reference, nats per token, repository by repository; negative is better.

    Raises:
        ValueError: no repository has both.
    """
    pairs = zip(arm, reference, strict=True)
    found = [a[stratum] - r[stratum] for a, r in pairs if stratum in a and stratum in r]
    if not found:
        raise ValueError(f"no repository has tokens of the stratum {stratum!r}")
    rng = random.Random(seed)  # noqa: S311 - not a secret
    drawn = sorted(mean(rng.choices(found, k=len(found))) for _ in range(N_DRAWS))
    low, high = drawn[round(N_DRAWS * 0.025)], drawn[round(N_DRAWS * 0.975) - 1]
    return Difference(mean(found), low, high, sum(one < 0 for one in found), len(found))
