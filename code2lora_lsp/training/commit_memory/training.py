"""Trains the gru, gates and style on next-commit items, back through many real commits."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from code2lora_lsp.neural.commit_memory import CommitMemory
from code2lora_lsp.training.commit_memory.alarms import alarms
from code2lora_lsp.training.commit_memory.inputs import Repository, is_rare_name
from code2lora_lsp.training.commit_memory.walk import Answer, Arm, Walk, World, step_all

ALARMS_EVERY = 20


@dataclass(frozen=True)
class TrainingPlan:
    """Schedule of one arm.

    Attributes:
        n_bptt: commits the gradient flows back through.
        repositories_at_once: walked side by side.
        name_weight: of a token of a rare name out of sight, where others have 1.
        cpu_s: of the process; the learning rate falls to zero by then.
    """

    n_bptt: int = 8
    repositories_at_once: int = 3
    name_weight: float = 3.0
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    largest_gradient_norm: float = 1.0
    cpu_s: float = 240.0
    seed: int = 0


def train(
    memory: CommitMemory,
    arm: Arm,
    repositories: Sequence[Repository],
    world: World,
    plan: TrainingPlan,
    clock: Callable[[], float] = time.process_time,
) -> Iterator[dict[str, float]]:
    """Optimise until the time is over; one line of figures per optimizer step.

    Every repository is walked from its first commit to its last, ``n_bptt`` commits at a time; the
    state is carried over without its gradient. One that is over makes room for the next.
    """
    rng, started_s, step = random.Random(plan.seed), clock(), 0  # noqa: S311 - not a secret
    optimizer = torch.optim.AdamW(
        memory.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    walks: list[Walk] = []
    waiting: list[Repository] = []
    while (share := (clock() - started_s) / plan.cpu_s) < 1:
        walks = [walk for walk in walks if not walk.is_over]
        while len(walks) < plan.repositories_at_once:
            waiting = waiting or rng.sample(list(repositories), len(repositories))
            walks.append(_begun(memory, waiting.pop(), rng if not step else None))
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _cosine(share)
        answers = _rolled(memory, arm, walks, world, plan.n_bptt)
        loss = _loss(answers, plan.name_weight)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(memory.parameters(), plan.largest_gradient_norm)
        optimizer.step()
        step += 1
        line = {"step": step, "share": share, "loss": loss.item(), "gradient_norm": float(norm)}
        yield line | (alarms(memory, arm, walks, answers) if step % ALARMS_EVERY == 1 else {})


def _begun(memory: CommitMemory, repository: Repository, rng: random.Random | None) -> Walk:
    """At its first commit; the very first ones anywhere, so that walks end at different times."""
    commit = rng.randrange(max(1, repository.n_commits // 2)) if rng else 0
    return Walk(repository, memory.initial_state(), commit)


def _rolled(
    memory: CommitMemory, arm: Arm, walks: Sequence[Walk], world: World, n_bptt: int
) -> list[Answer]:
    """The next commits of each walk; gradients of one call do not reach into the one before.

    A constant style is a parameter and not a memory, so it is asked for anew.
    """
    for walk in walks:
        state = walk.state.detached()
        constant = memory.style.bias if arm.style == "constant" else state.style
        begins = walk.commit == 0 and arm.style == "gru"
        style = memory.initial_state().style if begins else constant
        walk.state = state._replace(style=style)
    answers: list[Answer] = []
    for _ in range(n_bptt):
        going = [walk for walk in walks if not walk.is_over]
        if going:
            answers += step_all(memory, arm, going, world)
    return answers


def _loss(answers: Sequence[Answer], name_weight: float) -> Tensor:
    nats = torch.cat([answer.nats for answer in answers])
    is_name = torch.cat([is_rare_name(answer.marks) for answer in answers])
    weights = torch.where(is_name, name_weight, 1.0)
    return (weights * nats).sum() / weights.sum()


def _cosine(share: float) -> float:
    """3 % warm-up, then half a cosine to zero."""
    return min(1.0, share / 0.03) * 0.5 * (1 + math.cos(math.pi * share))
