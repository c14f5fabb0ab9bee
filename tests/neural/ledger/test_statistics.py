"""Sums that add and subtract exactly, in any order."""

from functools import reduce

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.ledger.statistics import Grid, no_statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import join
from tests.neural.ledger.made_up import GRID, INNER, WIDTH, random_writes

torch.set_num_threads(1)

PARTS = [
    random_writes(seed, n_tokens=1 + 7 * seed % 40, scale=10.0 ** (seed % 5 - 2))
    for seed in range(12)
]
EACH = [statistics_of(part, GRID) for part in PARTS]


def summed(indices):
    total = no_statistics(WIDTH, INNER, GRID)
    for index in indices:
        total = total + EACH[index]
    return total


@given(st.permutations(range(len(EACH))), st.lists(st.integers(0, len(EACH) - 1), max_size=20))
def test_any_order_and_any_detour_give_the_same_bits(order, detour):
    total = summed(order)
    for index in detour:
        total = total + EACH[index]
    for index in sorted(detour):
        total = total - EACH[index]
    assert total.equals(summed(range(len(EACH))))


def test_one_product_of_all_tokens_equals_the_sum_over_parts():
    together = statistics_of(join(PARTS), GRID)
    assert together.equals(summed(range(len(EACH))))
    backwards = statistics_of(join([part[slice(None)] for part in reversed(PARTS)]), GRID)
    assert backwards.equals(together)


def test_unrounded_sums_would_not_be_exact():
    """The test above can fail: plain float64 sums of the same numbers differ in their bits."""
    plain = [part.errors.double().T @ part.keys.double() for part in PARTS]
    assert not torch.equal(sum(plain), sum(reversed(plain)))


def test_what_is_rounded_away_is_small():
    writes = random_writes(3, n_tokens=200)
    exact = writes.errors.double().T @ writes.keys.double()
    error = statistics_of(writes, GRID).values - exact
    assert 0 < float(error.norm() / exact.norm()) < 2e-3


def test_adding_and_removing_leaves_nothing_behind():
    nothing = no_statistics(WIDTH, INNER, GRID)
    assert (nothing + EACH[3] - EACH[3]).equals(nothing)
    assert not (nothing + EACH[3]).equals(nothing)


def test_removing_more_than_was_written_is_refused():
    with pytest.raises(ShapeMismatch, match="more was removed"):
        EACH[1] - EACH[2]


def test_sums_too_large_to_be_exact_are_refused():
    huge = random_writes(1, n_tokens=4, scale=2.0**24)
    with pytest.raises(OverflowError, match="exactly"):
        statistics_of(huge, GRID)
    total = statistics_of(random_writes(1, n_tokens=2, scale=2.0**10), GRID)
    with pytest.raises(OverflowError, match="coarser"):
        reduce(lambda sum_, _: sum_ + sum_, range(40), total)


def test_statistics_of_two_grids_do_not_mix():
    other = statistics_of(PARTS[0], Grid(2.0**-8, 2.0**-9))
    with pytest.raises(ShapeMismatch, match="met"):
        EACH[0] + other


@pytest.mark.parametrize("grain", [0.0, -1.0, 0.1, 3.0])
def test_a_grain_that_is_no_power_of_two_is_refused(grain):
    with pytest.raises(ValueError, match="power of two"):
        Grid(grain, 1.0)


def test_non_finite_writes_are_refused():
    writes = random_writes(1, n_tokens=3)
    writes.errors[1, 1] = float("nan")
    with pytest.raises(ShapeMismatch, match="non-finite"):
        statistics_of(writes, GRID)
