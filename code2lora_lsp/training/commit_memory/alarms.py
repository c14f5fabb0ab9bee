"""Signs of collapse: what a run logs so that nobody has to guess."""

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.neural.commit_memory import CommitMemory
from code2lora_lsp.training.commit_memory.walk import Answer, Arm, Walk

SATURATED_DECAY = 0.02
"""A decay this near to 0 or 1, or a step this near to its bounds, moves no more."""


@torch.no_grad()
def alarms(
    memory: CommitMemory, arm: Arm, walks: Sequence[Walk], answers: Sequence[Answer]
) -> dict[str, float]:
    """Figures of one roll over several repositories.

    ``cosine_*`` is the mean between repositories' updates (1: the same for all), ``spread_hidden``
    the share of h_t's variance that lies between repositories, ``saturated`` the share of gates
    that are at a bound.
    """
    states = [walk.state for walk in walks]
    found: dict[str, float] = {}
    if arm.gates != "none":
        found["cosine_fast"] = mean_cosine([state.fast for state in states])
        found["norm_fast"] = sum(float(state.fast.norm()) for state in states) / len(states)
        steps, decays = gate_values(answers)
        found |= {"write_step": float(steps.mean()), "decay": float(decays.mean())}
        found["saturated"] = float(is_saturated(memory, steps, decays).float().mean())
    if arm.style != "none":
        updates = [memory.style_update(state.style) for state in states]
        found["cosine_style"] = mean_cosine(updates)
        found["norm_style"] = sum(float(update.norm()) for update in updates) / len(updates)
    if arm.has_gru:
        found["spread_hidden"] = spread([state.hidden for state in states], answers)
    return found


def mean_cosine(updates: Sequence[Tensor]) -> float:
    """Over all pairs; 0 where there is none, or where one is zero."""
    flat = [update.flatten() for update in updates]
    pairs = [float(F.cosine_similarity(a, b, dim=0)) for a, b in combinations(flat, 2)]
    return sum(pairs) / len(pairs) if pairs else 0.0


def gate_values(answers: Sequence[Answer]) -> tuple[Tensor, Tensor]:
    """η and λ of each commit, [N] each."""
    gates = [answer.gates for answer in answers if answer.gates is not None]
    return torch.stack([g.step for g in gates]), torch.stack([g.decay for g in gates])


def is_saturated(memory: CommitMemory, steps: Tensor, decays: Tensor) -> Tensor:
    """[N] bool."""
    moved = (steps / memory.config.step).log().abs()
    near_bound = (decays < SATURATED_DECAY) | (decays > 1 - SATURATED_DECAY / 10)
    return near_bound | (moved > 1.9)


def spread(last: Sequence[Tensor], answers: Sequence[Answer]) -> float:
    """Variance of repositories' last hidden states over that of all commits' hidden states."""
    all_of_them = torch.stack([answer.state.hidden for answer in answers])
    between = torch.stack(list(last)).var(0, unbiased=False).sum()
    return float(between / all_of_them.var(0, unbiased=False).sum().clamp(min=1e-12))
