"""Optimising a hypernetwork on timelines: target-token cross-entropy, as published.

What the published trainer does not have is off by default: the own-versus-other loss asks a
share of the items once more under the adapter of another repository of the same optimizer step,
and wants own and other told apart (softmax over the two of minus an item's loss).
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo_model import EvoModel, EvoPlan
from code2lora_lsp.training.timelines import Item, Timeline, pad_items

CONTRASTED = 2
"""One in so many items is asked under another repository's adapter as well."""


def train(
    model: EvoModel,
    backbone: AdaptedBackbone,
    timelines: Sequence[Timeline],
    plan: EvoPlan,
    pad_id: int,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[dict[str, float]]:
    """Optimise until the plan's minutes or steps are over; yields one line of figures per step.

    Runs of the same seed ask for the same items in the same order, whatever else their plans say.
    """
    rng = random.Random(plan.seed)  # noqa: S311 - not a secret
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    step = 0
    for share in shares(plan, clock):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * cosine(share)
        drawn = draw(timelines, plan, rng)
        if not drawn:
            continue
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
            loss, figures = _loss(model, backbone, drawn, plan, pad_id)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), plan.largest_gradient_norm)
        optimizer.step()
        step += 1
        yield {"step": step, "share": share, **figures, "gradient_norm": float(norm)}


def shares(plan: EvoPlan, clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """How much of the run is over, before each optimizer step; ends where the run does."""
    if plan.n_optimizer_steps is not None:
        yield from (step / plan.n_optimizer_steps for step in range(plan.n_optimizer_steps))
        return
    started_s = clock()
    for _ in count():
        share = (clock() - started_s) / (plan.minutes * 60)
        if share >= 1:
            return
        yield share


def cosine(share: float) -> float:
    """3 % warm-up, then half a cosine to zero (code2lora-spec, section 6)."""
    return min(1.0, (share + 1e-3) / 0.03) * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class Drawn:
    """What one optimizer step asks of one repository.

    Attributes:
        start: index of the first commit rolled over.
        items: (commits after ``start``, gap that the commit after that one fills).
    """

    timeline: Timeline
    start: int
    items: tuple[tuple[int, Item], ...]


def draw(timelines: Sequence[Timeline], plan: EvoPlan, rng: random.Random) -> list[Drawn]:
    """The repositories, commits and items of one optimizer step; empty if there are no items."""
    drawn: list[Drawn] = []
    for timeline in rng.sample(list(timelines), min(plan.repositories_per_step, len(timelines))):
        start = rng.randint(0, max(0, len(timeline.diffs) - 1 - plan.n_commits))
        offered = timeline.items[start : start + plan.n_commits]
        items = [
            (offset, item)
            for offset, row in enumerate(offered)
            for item in rng.sample(row, min(plan.items_per_commit, len(row)))
        ]
        drawn.append(Drawn(timeline, start, tuple(items)))
    return drawn if any(one.items for one in drawn) else []


def pad_drawn(drawn: Sequence[Drawn], pad_id: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of everything drawn, each [B, T] int64."""
    return pad_items([item for one in drawn for _, item in one.items], pad_id)


def contexts_of(model: EvoModel, drawn: Sequence[Drawn], n_commits: int) -> tuple[Tensor, Tensor]:
    """For every item the context of its own adapter, [B, C], and of another's, [B, C].

    The other is the next repository drawn, after as many commits.
    """
    rolled = [model.roll(one.timeline, one.start, n_commits) for one in drawn]
    own: list[Tensor] = []
    other: list[Tensor] = []
    for index, one in enumerate(drawn):
        next_one = rolled[(index + 1) % len(rolled)]
        own += [rolled[index][offset] for offset, _ in one.items]
        other += [next_one[min(offset, len(next_one) - 1)] for offset, _ in one.items]
    return torch.stack(own), torch.stack(other)


def _loss(
    model: EvoModel,
    backbone: AdaptedBackbone,
    drawn: Sequence[Drawn],
    plan: EvoPlan,
    pad_id: int,
) -> tuple[Tensor, dict[str, float]]:
    ids, targets = pad_drawn(drawn, pad_id)
    own, other = contexts_of(model, drawn, plan.n_commits)
    nats = backbone.losses(ids, targets, model.factors(own))  # [B]
    loss = nats.sum() / (targets >= 0).sum()
    figures = {"loss": loss.item()}
    if plan.contrast_weight:
        some = slice(None, None, CONTRASTED)
        under_other = backbone.losses(ids[some], targets[some], model.factors(other[some]))
        contrast = own_versus_other(nats[some], under_other)
        loss = loss + plan.contrast_weight * contrast
        figures["contrast"] = contrast.item()
    return loss, figures


def own_versus_other(own: Tensor, other: Tensor) -> Tensor:
    """−log of own's share in a softmax over minus the losses, mean over items; ln 2 if equal.

    Both are nats of each item, [B].
    """
    return F.softplus(own - other).mean()
