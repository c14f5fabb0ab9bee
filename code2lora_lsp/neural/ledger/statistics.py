"""Sums over writes that add and subtract exactly.

Keys and errors are rounded to whole multiples of a power of two (their ``Grid``) before they are
multiplied. Every product is then a whole multiple of another power of two, and so is every sum of
products. float64 holds whole numbers below 2⁵³ without error, and every operation here checks
that it stays below. So no addition ever rounds: any order of tokens, blocks, commits, removals,
threads or matrix kernels gives the same bits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.ledger.writes import Writes

LARGEST_WHOLE = 2.0**52
"""Half of what float64 counts without gaps."""


@dataclass(frozen=True)
class Grid:
    """The powers of two that keys and errors are whole multiples of."""

    key_grain: float
    error_grain: float

    def __post_init__(self) -> None:
        for grain in (self.key_grain, self.error_grain):
            if grain <= 0 or torch.frexp(torch.tensor(grain, dtype=torch.float64))[0] != 0.5:
                raise ValueError(f"grain {grain!r} is no power of two: sums would round")


@dataclass(frozen=True)
class Statistics:
    """Sums over the tokens written, immutable.

    Attributes:
        values: D = Σ e_i x_iᵀ, [D, F] float64, whole multiples of ``error_grain · key_grain``.
        keys: C = Σ x_i x_iᵀ, [F, F] float64, whole multiples of ``key_grain²``.
        n_tokens: terms of the sums.
        grid: of all that was summed.

    Raises:
        ShapeMismatch: counts below zero (more was removed than written), or another grid.
        OverflowError: a sum is too large to be exact.
    """

    values: Tensor
    keys: Tensor
    n_tokens: int
    grid: Grid

    def __post_init__(self) -> None:
        if self.n_tokens < 0:
            raise ShapeMismatch(f"{self.n_tokens} tokens: more was removed than was written")
        _check_exact(self.values, self.grid.error_grain * self.grid.key_grain)
        _check_exact(self.keys, self.grid.key_grain**2)

    def __add__(self, other: "Statistics") -> "Statistics":
        self._check_fits(other)
        n_tokens = self.n_tokens + other.n_tokens
        return Statistics(self.values + other.values, self.keys + other.keys, n_tokens, self.grid)

    def __sub__(self, other: "Statistics") -> "Statistics":
        self._check_fits(other)
        n_tokens = self.n_tokens - other.n_tokens
        return Statistics(self.values - other.values, self.keys - other.keys, n_tokens, self.grid)

    def equals(self, other: "Statistics") -> bool:
        """Whether every bit is the same."""
        return (
            self.n_tokens == other.n_tokens
            and self.grid == other.grid
            and torch.equal(self.values, other.values)
            and torch.equal(self.keys, other.keys)
        )

    def _check_fits(self, other: "Statistics") -> None:
        if self.grid != other.grid or self.values.shape != other.values.shape:
            raise ShapeMismatch(
                f"statistics of {list(self.values.shape)} on {self.grid} met "
                f"{list(other.values.shape)} on {other.grid}"
            )


def no_statistics(width: int, inner_width: int, grid: Grid) -> Statistics:
    """The sums over nothing; ``width`` is D, ``inner_width`` F."""
    wide = torch.float64
    return Statistics(
        torch.zeros(width, inner_width, dtype=wide),
        torch.zeros(inner_width, inner_width, dtype=wide), 0, grid,
    )  # fmt: skip


def statistics_of(writes: Writes, grid: Grid) -> Statistics:
    """The sums over some writes.

    Raises:
        OverflowError: there are so many, or such large ones, that a partial sum could round.
    """
    keys = _rounded(writes.keys, grid.key_grain)  # [N, F], whole numbers
    errors = _rounded(writes.errors, grid.error_grain)  # [N, D]
    n_tokens = writes.n_tokens
    largest = [float(part.abs().max()) if n_tokens else 0.0 for part in (keys, errors)]
    if n_tokens * largest[0] * max(largest) >= LARGEST_WHOLE:
        raise OverflowError(
            f"{n_tokens} tokens with keys up to {largest[0] * grid.key_grain:.3g} and errors up "
            f"to {largest[1] * grid.error_grain:.3g} cannot be summed exactly on {grid}; "
            "write them in smaller parts"
        )
    product = grid.error_grain * grid.key_grain
    return Statistics(
        (errors.T @ keys) * product, (keys.T @ keys) * grid.key_grain**2, n_tokens, grid
    )


def _rounded(tensor: Tensor, grain: float) -> Tensor:
    """Whole multiples of ``grain`` nearest to it, in units of ``grain``, float64."""
    if not bool(torch.isfinite(tensor).all()):
        raise ShapeMismatch("a write holds non-finite numbers")
    return (tensor.double() / grain).round()


def _check_exact(total: Tensor, grain: float) -> None:
    largest = float(total.abs().max())
    if not largest < LARGEST_WHOLE * grain:
        raise OverflowError(
            f"a sum of {largest:.3g} on a grid of {grain:.3g} may round; start it anew on a "
            "coarser grid"
        )
