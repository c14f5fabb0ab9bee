"""Embeddings centred and whitened on a population of repositories.

Most of a raw embedding is the same for every repository (pairwise cosine about 0.75), and a head
that squashes its input turns the common part into a constant adapter. The map is linear, so that
a checkpoint could hold it in its first layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from code2lora_lsp.training.timelines import Timeline

KEPT_SHARE = 0.95
"""Of the population's variance; directions beyond it are noise of few repositories and dropped."""


@dataclass(frozen=True)
class Whitening:
    """x ↦ (x − μ) V Λ^(−1/2) Vᵀ with the population's leading directions V.

    Attributes:
        mean: μ, [2E].
        matrix: V Λ^(−1/2) Vᵀ, [2E, 2E], symmetric.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, population: Tensor) -> "Whitening":
        """Fitted on [N, 2E]. Equal rows leave no direction: everything then maps to zero."""
        mean = population.double().mean(0)
        centred = population.double() - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        before = values.cumsum(0) - values  # variance held by the directions before each
        kept = (before < KEPT_SHARE * values.sum()) & (values > 0)
        leading = vectors[:, kept]
        matrix = leading @ torch.diag(values[kept].rsqrt()) @ leading.T
        return cls(mean.float(), matrix.float())

    def __call__(self, embeddings: Tensor) -> Tensor:
        """[…, 2E] to [..., 2E]."""
        return (embeddings - self.mean) @ self.matrix


@dataclass(frozen=True)
class TimelineWhitening:
    """One map for snapshot embeddings and one for diff embeddings."""

    snapshot: Whitening
    diff: Whitening

    @classmethod
    def of(cls, timelines: Sequence[Timeline]) -> "TimelineWhitening":
        snapshots = torch.stack([timeline.snapshot for timeline in timelines])
        diffs = torch.cat([timeline.diffs for timeline in timelines])
        return cls(Whitening.of(snapshots), Whitening.of(diffs))

    def __call__(self, timelines: Sequence[Timeline]) -> list[Timeline]:
        return [
            replace(one, snapshot=self.snapshot(one.snapshot), diffs=self.diff(one.diffs))
            for one in timelines
        ]
