"""What adapters are worth on repositories nobody trained on: own, others', mean, none.

Items are those of the last third of each timeline. A repository's own adapter is that of the
commit before the one an item comes from; another repository's is that of its last commit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from code2lora_lsp.neural.code2lora.lora_head import LoraFactors
from code2lora_lsp.training.adapted_backbone import AdaptedBackbone
from code2lora_lsp.training.evo_model import EvoModel
from code2lora_lsp.training.timelines import Item, Timeline, pad_items

ROWS = 16
"""Items asked at once."""

Marks = Callable[[Item], Sequence[bool]]
"""Which target tokens of an item are counted apart."""


@dataclass(frozen=True)
class Batch:
    """Items of one repository.

    Attributes:
        steps: commits the repository had made before each item's, less one, [B].
        marked: whether each scored token is counted apart, [N], as ``token_losses`` orders them.
    """

    ids: Tensor
    targets: Tensor
    steps: Tensor
    marked: Tensor


@dataclass(frozen=True)
class Scores:
    """Summed nats, all scored tokens and those counted apart: the last axis is 2.

    Attributes:
        n_tokens: [R, 2] int64.
        own, mean: [R, 2] float64; mean is the mean update of the training repositories.
        crossed: [R, R, 2]: row i's items under repository j's last adapter, own on the diagonal.
        update_cosine: between the whole updates of different repositories, mean of pairs.
        emitted_cosine: the same of what the head emits, without a generic adapter.
        commit_cosine: between emitted updates after different commits of one repository.
    """

    n_tokens: Tensor
    own: Tensor
    mean: Tensor
    crossed: Tensor
    update_cosine: float
    emitted_cosine: float
    commit_cosine: float

    def nats_per_token(self) -> dict[str, float]:
        """Of all scored tokens together, under own, other and mean adapters."""
        n_tokens = float(self.n_tokens[:, 0].sum())
        others = self.crossed[:, :, 0].sum() - self.crossed[:, :, 0].diagonal().sum()
        n_others = max(1, len(self.own) - 1)
        return {
            "own_nats": float(self.own[:, 0].sum()) / n_tokens,
            "other_nats": float(others) / n_others / n_tokens,
            "mean_nats": float(self.mean[:, 0].sum()) / n_tokens,
        }


def batches(
    timeline: Timeline, pad_id: int, marks: Marks | None = None, most: int | None = None
) -> list[Batch]:
    """Items of a timeline's last third, those of like length together; ``most`` spread over it."""
    count = len(timeline.diffs)
    asked = [(s, item) for s in range(2 * count // 3, count) for item in timeline.items[s]]
    if most is not None and most < len(asked):
        asked = [asked[i * len(asked) // most] for i in range(most)]
    asked.sort(key=lambda pair: len(pair[1].token_ids))
    return [_batch(asked[at : at + ROWS], pad_id, marks) for at in range(0, len(asked), ROWS)]


def _batch(asked: Sequence[tuple[int, Item]], pad_id: int, marks: Marks | None) -> Batch:
    items = [item for _, item in asked]
    ids, targets = pad_items(items, pad_id)
    marked = [mark for item in items for mark in marks(item)] if marks else []
    return Batch(
        ids, targets, torch.tensor([step for step, _ in asked]),
        torch.tensor(marked) if marks else torch.zeros(int((targets >= 0).sum()), dtype=torch.bool),
    )  # fmt: skip


@torch.no_grad()
def nats_under(
    backbone: AdaptedBackbone,
    asked: Sequence[Batch],
    factors_of: Callable[[Batch], LoraFactors | None],
) -> Tensor:
    """Summed nats of a repository's items, [2] float64: all tokens, those counted apart."""
    total = torch.zeros(2, dtype=torch.float64)
    for batch in asked:
        nats = backbone.token_losses(batch.ids, batch.targets, factors_of(batch)).double()
        total += torch.stack([nats.sum(), nats[batch.marked].sum()])
    return total


def under(backbone: AdaptedBackbone, asked: Sequence[Batch], factors: LoraFactors | None) -> Tensor:
    """As ``nats_under``, one adapter for all items."""
    return nats_under(backbone, asked, lambda _: factors)


def token_counts(asked: Sequence[Sequence[Batch]]) -> Tensor:
    """Scored tokens of each repository, [R, 2] int64: all, those counted apart."""
    return torch.tensor(
        [[sum(len(b.marked) for b in one), sum(int(b.marked.sum()) for b in one)] for one in asked]
    )


@torch.no_grad()
def score(
    model: EvoModel,
    backbone: AdaptedBackbone,
    training: Sequence[Timeline],
    validation: Sequence[Timeline],
    asked: Sequence[Sequence[Batch]],
) -> Scores:
    """Ask every repository's items under every adapter; ``asked`` are their ``batches``."""
    rolled = [model.roll(t, 0, len(t.diffs)) for t in validation]
    emitted = model.head(torch.stack([contexts[-1] for contexts in rolled]))
    last = model.on_generic(emitted)
    mean = model.on_generic(mean_update(_last_emitted(model, training)))
    own = [
        nats_under(backbone, one, partial(_own_factors, model, contexts))
        for one, contexts in zip(asked, rolled, strict=True)
    ]
    adapters = [row(last, j) for j in range(len(asked))]
    crossed = [
        [own[i] if i == j else under(backbone, one, adapter) for j, adapter in enumerate(adapters)]
        for i, one in enumerate(asked)
    ]
    by_commit = [model.head(contexts[:: max(1, len(contexts) // 8)]) for contexts in rolled]
    return Scores(
        n_tokens=token_counts(asked),
        own=torch.stack(own),
        mean=torch.stack([under(backbone, one, mean) for one in asked]),
        crossed=torch.stack([torch.stack(line) for line in crossed]),
        update_cosine=mean_cosine(last),
        emitted_cosine=mean_cosine(emitted),
        commit_cosine=sum(map(mean_cosine, by_commit)) / len(by_commit),
    )


def _own_factors(model: EvoModel, contexts: Tensor, batch: Batch) -> LoraFactors:
    return model.factors(contexts[batch.steps])


def _last_emitted(model: EvoModel, timelines: Sequence[Timeline]) -> LoraFactors:
    last = torch.stack([model.roll(t, 0, len(t.diffs))[-1] for t in timelines])
    emitted: LoraFactors = model.head(last)
    return emitted


def row(factors: LoraFactors, index: int) -> LoraFactors:
    """One adapter of a batch, [1, …]."""
    return LoraFactors(
        {k: v[index : index + 1] for k, v in factors.a.items()},
        {k: v[index : index + 1] for k, v in factors.b.items()},
    )


def mean_update(factors: LoraFactors) -> LoraFactors:
    """The adapter, [1, …], of rank B·R whose update is exactly the mean ΔW of a batch of B."""
    count = next(iter(factors.a.values())).shape[0]
    return LoraFactors(
        {k: v.flatten(0, 1)[None] for k, v in factors.a.items()},
        {k: v.transpose(0, 1).flatten(1)[None] / count for k, v in factors.b.items()},
    )


@torch.no_grad()
def mean_cosine(factors: LoraFactors) -> float:
    """Mean pairwise cosine of the effective updates ΔW of a batch; the collapse alarm."""
    gram = sum(_products(factors.a[k], b) for k, b in factors.b.items())
    assert isinstance(gram, Tensor)
    norms = gram.diagonal().clamp_min(1e-20).sqrt()
    cosines = gram / norms[:, None] / norms[None]
    count = len(gram)
    return float((cosines.sum() - count) / max(count * (count - 1), 1))


def _products(a: Tensor, b: Tensor) -> Tensor:
    """⟨B_i A_i, B_j A_j⟩ of every two adapters, [B, B], from [B, R, in] and [B, out, R]."""
    between_b = torch.einsum("ior,jos->ijrs", b, b)
    between_a = torch.einsum("irn,jsn->ijrs", a, a)
    return (between_b * between_a).sum((2, 3))
