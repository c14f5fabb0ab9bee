"""Statistics → an adapter: ridge regression of errors on keys, whitened on both sides.

    R = η · (G_pop + …)⁻¹ D (C / share + n₀ C_pop + …)⁻¹               [D, F]

Empirical Bayes: n₀ tokens of the population stand against the repository's n, so a small one moves
the backbone little. G_pop⁻¹ makes it a step of natural gradient (K-FAC), and η a pure number.
The dots stand for a damping relative to the mean of the diagonal; ``share`` is the part of the tree
that is summed so far. Measured in a probe on 8 unseen repositories, the error side's whitening
alone raised the gain 1.7 times.

D is not centred on what a training repository writes: that part is small, the same for all, and an
improvement of the backbone; taking it away cost nats on ordinary tokens (docs/experiments.md).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.ledger.statistics import Statistics
from code2lora_lsp.neural.ledger.writes import Writes
from code2lora_lsp.neural.lora import LoraPair

STEP_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Tried by ``choose_step``: nothing, and up to the whole step."""

ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class ReadoutPlan:
    """How strongly statistics are believed.

    Attributes:
        step: η, the largest step a repository may take.
        prior_tokens: n₀.
        key_damping: of C + n₀ C_pop, relative to its mean diagonal.
        error_damping: of G_pop, relative to its mean diagonal.
    """

    step: float = 0.47
    prior_tokens: float = 20_000.0
    key_damping: float = 0.003
    error_damping: float = 0.03


def read_out(
    statistics: Statistics, population: Population, plan: ReadoutPlan, share: float = 1.0
) -> Tensor:
    """R / η, [D, F] float32.

    Args:
        statistics: the ledger, or its sums over part of a tree.
        population: of the same backbone.
        plan: priors and dampings.
        share: which part of the tree that is, in (0, 1].

    Raises:
        ShapeMismatch: statistics and population are of different modules.
    """
    wanted = (len(population.errors), len(population.keys))
    if statistics.values.shape != wanted:
        raise ShapeMismatch(
            f"statistics {list(statistics.values.shape)}, population {list(wanted)}"
        )
    keys = statistics.keys / share + plan.prior_tokens * population.keys.double()
    whitened = _solve(population.errors.double(), plan.error_damping, statistics.values)  # [D, F]
    return _solve(keys, plan.key_damping, whitened.T).T.float().contiguous()


def _solve(moment: Tensor, damping: float, right: Tensor) -> Tensor:
    """(moment + damping · mean diagonal · I)⁻¹ right."""
    return torch.cholesky_solve(right, torch.linalg.cholesky(_damped(moment, damping)))


def _damped(moment: Tensor, damping: float) -> Tensor:
    ridge = damping * moment.diagonal().mean()
    return moment + ridge * torch.eye(len(moment), dtype=moment.dtype)


def truncated(
    update: Tensor, population: Population, plan: ReadoutPlan, rank: int | None = None
) -> LoraPair:
    """The pair of this rank that is nearest to an update, as the population's keys see it.

    The SVD is of update · C_pop^½: what is lost is least on average over keys, not over weights.

    Args:
        update: ΔW, [D, F].
        population: its key moments are the metric.
        plan: its key damping keeps the metric definite.
        rank: at most min(D, F), which is exact and what ``None`` means.

    Raises:
        ValueError: no such rank.
    """
    full = min(update.shape)
    kept = full if rank is None else rank
    if not 1 <= kept <= full:
        raise ValueError(f"rank {rank!r}: an update of {list(update.shape)} has 1 to {full}")
    root = torch.linalg.cholesky(_damped(population.keys.double(), plan.key_damping))  # [F, F]
    u, s, vt = torch.linalg.svd(update.double() @ root, full_matrices=False)
    balance = s[:kept].sqrt()
    a = torch.linalg.solve_triangular(root, vt[:kept] * balance[:, None], upper=False, left=False)
    return LoraPair(a=a.float().contiguous(), b=(u[:, :kept] * balance).float().contiguous())


def nats_with(decoder: LedgerBackbone, writes: Writes, update: Tensor | None) -> float:
    """Mean −log p of the next tokens with ``update`` [D, F] added to the written projection.

    Raises:
        ValueError: no tokens.
    """
    if writes.n_tokens == 0:
        raise ValueError("no tokens to measure")
    nats = 0.0
    for start in range(0, writes.n_tokens, ROWS_AT_ONCE):
        part = writes[start : start + ROWS_AT_ONCE]
        logits = decoder.logits(outputs_with(part, update))
        nats += float(F.cross_entropy(logits, part.next_ids, reduction="sum"))
    return nats / writes.n_tokens


def outputs_with(writes: Writes, update: Tensor | None) -> Tensor:
    """The last layer's outputs under an update of its ``down_proj``, [N, D]; no pass needed."""
    return writes.outputs if update is None else writes.outputs + writes.keys @ update.T


def choose_step(decoder: LedgerBackbone, direction: Tensor, held_out: Writes, step: float) -> float:
    """The fraction of ``step`` that predicts ``held_out`` best: a cap on harm, 0 if all do harm.

    Args:
        decoder: without adapter.
        direction: R / η of other tokens than those held out, [D, F].
        held_out: tokens of the same repository.
        step: η.
    """
    nats = {
        fraction: nats_with(decoder, held_out, fraction * step * direction)
        for fraction in STEP_FRACTIONS
    }
    return step * min(nats, key=lambda fraction: nats[fraction])
