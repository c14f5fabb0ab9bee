"""Confidence intervals, ranks and permutation tests. The unit of resampling is the repository.

Items of one repository resemble each other, so intervals over items alone would be far too
narrow; conditioning.md, section 4.
"""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

N_DRAWS = 5000
SEED = 3407
N_PERMUTATIONS = 20_000
ALL_PERMUTATIONS_UP_TO = 7

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over items with its interval.

    Attributes:
        value: mean over all items, as published; a repository with more items weighs more.
        low, high: 95 % percentile bootstrap over repositories; None with fewer than two.
    """

    value: float
    low: float | None
    high: float | None
    n_items: int
    n_repositories: int


def cluster_mean(
    values: Sequence[float], repositories: Sequence[Hashable], seed: int = SEED
) -> Estimate:
    """Mean of ``values`` with a 95 % cluster-bootstrap interval over ``repositories``.

    Whole repositories are drawn with replacement, 5,000 times; the same seed gives the same
    interval.

    Raises:
        ValueError: no values, one that is not finite, or another number of repositories.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) == 0 or len(numbers) != len(repositories):
        raise ValueError(f"{len(numbers)} values for {len(repositories)} repositories")
    if not np.isfinite(numbers).all():
        raise ValueError(f"a score is not a finite number: {numbers[~np.isfinite(numbers)][0]}")
    names = {name: index for index, name in enumerate(dict.fromkeys(repositories))}
    cluster = np.array([names[name] for name in repositories])
    n = len(names)
    sums = np.bincount(cluster, weights=numbers, minlength=n)
    counts = np.bincount(cluster, minlength=n)
    low = high = None
    if n > 1:
        draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
        means = (draws @ sums) / (draws @ counts)  # [N_DRAWS]
        low, high = (float(bound) for bound in np.quantile(means, (0.025, 0.975)))
    return Estimate(float(numbers.mean()), low, high, len(numbers), n)


def own_ranks(nats: Matrix) -> Matrix:
    """Rank of each repository's own adapter among all adapters on its items, 1 the best.

    Args:
        nats: [repositories, adapters], square; entry i, j is what adapter j costs on i's items.

    Returns:
        [repositories]; ties share the middle rank, so equal adapters get the chance value.
    """
    own = np.diagonal(nats)[:, None]
    ranks: Matrix = 1 + (nats < own).sum(axis=1) + ((nats == own).sum(axis=1) - 1) / 2
    return ranks


def permutation_p(nats: Matrix) -> float:
    """One-sided p-value of "own adapters cost less than adapters dealt out at random".

    The statistic is the sum of ``nats[i, π(i)]``. Each permutation uses every repository and
    every adapter once, so neither hard repositories nor generally good adapters can produce a
    small p. All permutations up to 7 repositories, else 20,000 random ones and the identity.

    Args:
        nats: [repositories, adapters], square, as in ``own_ranks``.
    """
    n = len(nats)
    orders = _all_orders(n) if n <= ALL_PERMUTATIONS_UP_TO else _random_orders(n)
    observed = float(np.trace(nats))
    tolerance = 1e-9 * max(1.0, abs(observed))
    as_good = nats[np.arange(n), orders].sum(axis=1) <= observed + tolerance  # [orders]
    return float(as_good.mean())


def _all_orders(n: int) -> npt.NDArray[np.intp]:
    return np.array(list(itertools.permutations(range(n))), dtype=np.intp)


def _random_orders(n: int) -> npt.NDArray[np.intp]:
    identity = np.arange(n)[None]
    drawn = np.random.default_rng(SEED).permuted(np.repeat(identity, N_PERMUTATIONS, 0), axis=1)
    return np.concatenate((identity, drawn))
