"""Later parts of a tree write what earlier ones left over."""

import hashlib
from collections import Counter

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.ladder import N_RUNGS, Ladder, rung_of
from code2lora_lsp.neural.ledger.population import PopulationSum
from code2lora_lsp.neural.ledger.readout import ReadoutPlan, nats_with, read_out
from code2lora_lsp.neural.ledger.statistics import no_statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import errors_at, write
from tests.fakes import TINY, random_weights

torch.set_num_threads(1)

PLAN = ReadoutPlan(step=1.0, prior_tokens=100.0)
TEXT = [3 + (5 * i * i) % 17 for i in range(300)]


@pytest.fixture(scope="module")
def decoder():
    return Decoder(TINY, random_weights(TINY))


@pytest.fixture(scope="module")
def population(decoder):
    total = PopulationSum(TINY.width, TINY.intermediate_width)
    total.add(write(decoder, [], TEXT))
    return total.population("tiny")


def a_rung(n):
    """A block id of part ``n``."""
    return "0" * 16 + f"{n * 16 // N_RUNGS:x}" + "0" * 15


def test_parts_are_about_equal_and_every_block_has_one():
    ids = [hashlib.sha256(str(i).encode()).hexdigest()[:32] for i in range(4000)]
    found = Counter(rung_of(block_id) for block_id in ids)
    assert sorted(found) == list(range(N_RUNGS))
    assert min(found.values()) > 0.8 * 4000 / N_RUNGS


def test_the_first_part_is_written_without_an_adapter_and_later_ones_are_not_reached():
    ladder = Ladder()
    assert ladder.under(a_rung(0)) is None
    with pytest.raises(ValueError, match="part 1"):
        ladder.under(a_rung(1))


def test_a_rung_is_the_read_out_of_what_lies_below_it(decoder, population):
    below = statistics_of(write(decoder, [], TEXT[:100]), population.grid)
    ladder = Ladder().climbed(below, population, PLAN)
    expected = read_out(below, population, PLAN, share=1 / N_RUNGS)
    assert torch.equal(ladder.under(a_rung(1)), expected.half().float())
    assert ladder.under(a_rung(0)) is None


def test_a_whole_ladder_has_one_rung_less_than_parts(population):
    nothing = no_statistics(TINY.width, TINY.intermediate_width, population.grid)
    ladder = Ladder()
    for _ in range(N_RUNGS - 1):
        ladder = ladder.climbed(nothing, population, PLAN)
    assert ladder.under(a_rung(N_RUNGS - 1)) is not None
    with pytest.raises(ValueError, match="the last"):
        ladder.climbed(nothing, population, PLAN)


def test_errors_are_those_that_the_reference_leaves(decoder):
    alone = write(decoder, [], TEXT[:50])
    reference = 0.01 * torch.randn(TINY.width, TINY.intermediate_width)
    under = write(decoder, [], TEXT[:50], reference)
    assert torch.equal(under.keys, alone.keys)
    assert torch.equal(under.outputs, alone.outputs)
    moved = alone.outputs + alone.keys @ reference.T
    assert torch.allclose(under.errors, errors_at(decoder, moved, alone.next_ids))
    assert not torch.allclose(under.errors, alone.errors, rtol=1e-3)


def test_what_was_learnt_once_is_not_written_again(decoder, population):
    alone = write(decoder, [], TEXT)
    update = read_out(statistics_of(alone, population.grid), population, PLAN)
    assert nats_with(decoder, alone, update) < nats_with(decoder, alone, None)
    again = write(decoder, [], TEXT, update)
    assert float(again.errors.norm()) < float(alone.errors.norm())
