"""How far two adapters are from one another, as matrices would say."""

import pytest
import torch

from code2lora_lsp.neural.lora import LoraAdapter, LoraPair, Projection, relative_distance
from tests.fakes import random_adapter

DOWN, UP = Projection(1, "down_proj"), Projection(1, "up_proj")


def pair(seed, rank=2, out=6, into=8):
    generator = torch.Generator().manual_seed(seed)
    return LoraPair(
        torch.randn(rank, into, generator=generator), torch.randn(out, rank, generator=generator)
    )


def test_it_is_the_norm_of_the_difference_over_the_norm_of_the_older_update():
    one, other = random_adapter(seed=1), random_adapter(seed=2, rank=5)
    new, old = (
        torch.cat([adapter.pairs[p].delta(adapter.scale).flatten() for p in one.pairs])
        for adapter in (one, other)
    )
    assert relative_distance(one, other) == pytest.approx(
        float((new - old).norm() / old.norm()), rel=1e-5
    )


def test_an_adapter_is_no_distance_from_itself_under_another_scale_of_its_factors():
    one = LoraAdapter({DOWN: pair(1)}, 0.5)
    same = LoraAdapter({DOWN: LoraPair(one.pairs[DOWN].a, one.pairs[DOWN].b * 0.5)}, 1.0)
    assert relative_distance(one, same) == pytest.approx(0.0, abs=1e-6)


def test_a_small_move_is_not_lost_in_rounding():
    old = LoraAdapter({DOWN: pair(1)}, 1.0)
    moved = LoraPair(old.pairs[DOWN].a * (1 + 1e-5), old.pairs[DOWN].b)
    assert relative_distance(LoraAdapter({DOWN: moved}, 1.0), old) == pytest.approx(1e-5, rel=0.05)


def test_projections_that_only_one_has_count_as_zero_in_the_other():
    small, large = LoraAdapter({DOWN: pair(1)}, 1.0), LoraAdapter({DOWN: pair(1), UP: pair(2)}, 1.0)
    up = float(pair(2).delta(1.0).norm())
    down = float(pair(1).delta(1.0).norm())
    assert relative_distance(large, small) == pytest.approx(up / down, rel=1e-5)
    assert relative_distance(small, large) == pytest.approx(up / (up**2 + down**2) ** 0.5, rel=1e-5)


def test_there_is_no_distance_from_nothing():
    zero = LoraAdapter({DOWN: LoraPair(torch.zeros(2, 8), torch.zeros(6, 2))}, 1.0)
    assert relative_distance(LoraAdapter({DOWN: pair(1)}, 1.0), zero) is None
