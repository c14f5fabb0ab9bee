"""Stored features → what training reads: white keys, and what a gru is told of each commit."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.neural.commit_memory import Metric
from code2lora_lsp.training.commit_memory.marks import Mark
from code2lora_lsp.training.commit_memory.stored import CommitFeatures, StoredRepository

PROJECTED = 24
"""Random directions that each mean key and mean error is seen from."""

CLIP_DEVIATIONS = 4.0

N_LIVE = 2
"""Told besides, measured on the way: nats of what is written, and what the memory just gained."""


@dataclass(frozen=True)
class Tokens:
    """Some tokens of one commit, float32.

    Attributes:
        keys: white, [N, F].
        outputs: without adapter, [N, D].
        moved: under the ledger, [N, D]: before the commit for items, after it for writes.
        next_ids: [N] int64.
        marks: bits of ``Mark``, [N] int8.
    """

    keys: Tensor
    outputs: Tensor
    moved: Tensor
    next_ids: Tensor
    marks: Tensor


@dataclass(frozen=True)
class Repository:
    """One repository as training reads it.

    Attributes:
        items: per commit, what is asked before the memory sees it.
        writes: per commit, what is written into the fast memory.
        told: [T, X], standardised; the last ``N_LIVE`` are zero and measured on the way.
        ledger_nats: mean nats of a commit's fresh tokens by the backbone alone and under the
            ledger before it, [T, 2].
        updates: the ledger's ΔW over white keys now and then, [U, D, F] float32.
    """

    name: str
    items: tuple[Tokens, ...]
    writes: tuple[Tokens, ...]
    told: Tensor
    ledger_nats: Tensor
    updates: Tensor

    @property
    def n_commits(self) -> int:
        return len(self.items)


class Telling:
    """Whitened random projections of mean keys and errors, and facts, as training saw them."""

    def __init__(self, metric: Metric, training: Sequence[CommitFeatures]) -> None:
        generator = torch.Generator().manual_seed(0)
        n_keys, n_errors = len(metric.key_whitener), len(metric.error_solver)
        self._metric = metric
        self._error_whitener = torch.linalg.cholesky(metric.error_solver)  # [D, D]
        self._key_view = torch.randn(n_keys, PROJECTED, generator=generator) / n_keys**0.5
        self._error_view = torch.randn(n_errors, PROJECTED, generator=generator) / n_errors**0.5
        raw = torch.cat([self._raw(one) for one in training])
        self._mean, self._deviation = raw.mean(0), raw.std(0).clamp(min=1e-6)

    @property
    def width(self) -> int:
        """X."""
        return len(self._mean) + N_LIVE

    def __call__(self, features: CommitFeatures) -> Tensor:
        """[T, X]."""
        found = (self._raw(features) - self._mean) / self._deviation
        told = found.clamp(-CLIP_DEVIATIONS, CLIP_DEVIATIONS)
        return torch.cat([told, torch.zeros(len(told), N_LIVE)], dim=1)

    def _raw(self, features: CommitFeatures) -> Tensor:
        keys = self._metric.white(features.key_means) @ self._key_view  # [T, 2, P]
        errors = features.error_means @ self._error_whitener @ self._error_view
        return torch.cat([keys.flatten(1), errors.flatten(1), features.facts], dim=1)


def prepared(stored: StoredRepository, metric: Metric, telling: Telling) -> Repository:
    """One repository in memory."""
    features = stored.features
    whole = Tokens(
        metric.white(features.keys.float()), features.outputs.float(), features.before.float(),
        features.next_ids.long(), features.marks,
    )  # fmt: skip
    items, writes = [], []
    for commit in range(features.n_commits):
        rows = features.rows(commit)
        asked = features.is_item[rows].nonzero()[:, 0] + rows.start
        put = features.is_write[rows].nonzero()[:, 0] + rows.start
        items.append(_some(whole, asked, features.before))
        writes.append(_some(whole, put, features.after))
    root = torch.linalg.inv(metric.key_whitener.double()).float()  # ΔW L reads white keys
    return Repository(
        stored.name, tuple(items), tuple(writes), telling(features), features.facts[:, 5:7],
        features.updates.float() @ root,
    )  # fmt: skip


def _some(whole: Tokens, rows: Tensor, moved: Tensor) -> Tokens:
    return Tokens(
        whole.keys[rows], whole.outputs[rows], moved[rows].float(), whole.next_ids[rows],
        whole.marks[rows],
    )  # fmt: skip


def is_rare_name(marks: Tensor) -> Tensor:
    """Tokens of names out of sight that few training repositories have, [N] bool."""
    wanted = Mark.NAME | Mark.RARE
    return (marks & wanted) == wanted
