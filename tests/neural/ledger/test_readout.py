"""Statistics → adapter: the equation, the truncation, the cap."""

from dataclasses import replace

import pytest
import torch

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.population import PopulationSum
from code2lora_lsp.neural.ledger.readout import (
    ReadoutPlan,
    choose_step,
    nats_with,
    read_out,
    truncated,
)
from code2lora_lsp.neural.ledger.statistics import no_statistics, statistics_of
from code2lora_lsp.neural.ledger.writes import write
from tests.fakes import TINY, random_weights
from tests.neural.ledger.made_up import GRID, INNER, WIDTH, random_writes

torch.set_num_threads(1)

PLAN = ReadoutPlan()


def population_of(writes):
    total = PopulationSum(writes.errors.shape[1], writes.keys.shape[1])
    total.add(writes)
    return total.population("made up")


@pytest.fixture
def population():
    return population_of(random_writes(0, 400))


@pytest.fixture
def statistics():
    return statistics_of(random_writes(1, 100), GRID)


def test_the_read_out_is_the_equation(population, statistics):
    c = statistics.keys + PLAN.prior_tokens * population.keys.double()
    d = statistics.values
    g = population.errors.double()
    c += 0.003 * c.diagonal().mean() * torch.eye(INNER)
    g += 0.03 * g.diagonal().mean() * torch.eye(WIDTH)
    expected = torch.linalg.inv(g) @ d @ torch.linalg.inv(c)
    assert torch.allclose(
        read_out(statistics, population, PLAN).double(), expected, rtol=1e-4, atol=1e-9
    )


def test_a_ledger_of_nothing_reads_out_as_nothing(population):
    nothing = no_statistics(WIDTH, INNER, GRID)
    assert not read_out(nothing, population, PLAN).any()


def test_part_of_a_tree_stands_for_the_whole_in_its_keys(population, statistics):
    half = read_out(statistics, population, PLAN, share=0.5)
    doubled = replace(statistics, keys=2 * statistics.keys)
    assert torch.allclose(half, read_out(doubled, population, PLAN))
    assert not torch.allclose(half, read_out(statistics, population, PLAN), rtol=1e-3)


def test_a_strong_prior_and_few_tokens_make_a_small_update(population, statistics):
    weak, strong = (replace(PLAN, prior_tokens=tokens) for tokens in (1.0, 1e6))
    small = read_out(statistics, population, strong).norm()
    assert small < 0.001 * read_out(statistics, population, weak).norm()


def test_statistics_of_another_module_are_refused(population):
    other = no_statistics(WIDTH + 1, INNER, GRID)
    with pytest.raises(ShapeMismatch, match="population"):
        read_out(other, population, PLAN)


def test_full_rank_is_exact_and_a_lower_one_is_best_on_the_populations_keys(population, statistics):
    update = read_out(statistics, population, PLAN)
    assert torch.allclose(
        truncated(update, population, PLAN).delta(1.0), update, rtol=1e-3, atol=1e-6
    )
    keys = torch.linalg.cholesky(
        population.keys + 0.003 * population.keys.diagonal().mean() * torch.eye(INNER)
    )

    def loss(approximation):
        return float(((update - approximation) @ keys).norm())

    losses = [
        loss(truncated(update, population, PLAN, rank).delta(1.0)) for rank in range(1, WIDTH + 1)
    ]
    assert losses == sorted(losses, reverse=True)
    u, s, vt = torch.linalg.svd(update)
    plain = (u[:, :2] * s[:2]) @ vt[:2]
    assert losses[1] < loss(plain)


def test_a_skewed_population_changes_what_a_low_rank_keeps(statistics):
    writes = random_writes(0, 400)
    writes.keys[:, 0] *= 50
    skewed = population_of(writes)
    update = torch.zeros(WIDTH, INNER)
    update[0, 0], update[1, 1] = 1.0, 2.0
    kept = truncated(update, skewed, PLAN, rank=1).delta(1.0)
    assert kept[0, 0] > 0.9
    assert abs(kept[1, 1]) < 0.1


@pytest.mark.parametrize("rank", [0, WIDTH + 1])
def test_a_rank_that_cannot_be_is_refused(population, rank):
    with pytest.raises(ValueError, match="rank"):
        truncated(torch.ones(WIDTH, INNER), population, PLAN, rank)


@pytest.fixture(scope="module")
def decoder():
    return Decoder(TINY, random_weights(TINY))


TEXT = [3 + (5 * i * i) % 17 for i in range(300)]


@pytest.fixture(scope="module")
def learnt(decoder):
    """Writes of a text with few tokens, and the direction read out of its first half."""
    writes = write(decoder, [], TEXT)
    population = population_of(write(decoder, [], [(7 * i * i + i) % 251 for i in range(400)]))
    statistics = statistics_of(writes[:150], population.grid)
    return writes, read_out(statistics, population, replace(PLAN, prior_tokens=50.0))


def test_a_ledger_makes_its_own_text_likelier(decoder, learnt):
    writes, direction = learnt
    assert (
        nats_with(decoder, writes[150:], 0.1 * direction)
        < nats_with(decoder, writes[150:], None) - 0.1
    )


def test_the_cap_takes_the_step_that_predicts_held_out_tokens_best(decoder, learnt):
    writes, direction = learnt
    held_out = writes[150:]
    step = choose_step(decoder, direction, held_out, 0.1)
    assert step > 0
    tried = [nats_with(decoder, held_out, step * share * direction) for share in (0.5, 1.0, 2.0)]
    chosen = nats_with(decoder, held_out, step * direction)
    assert chosen <= min(tried[0], nats_with(decoder, held_out, None))


def test_the_cap_shrinks_to_nothing_where_any_step_does_harm(decoder, learnt):
    writes, direction = learnt
    assert choose_step(decoder, -direction, writes[150:], 0.1) == 0.0
    for seed in range(4):
        update = torch.randn(direction.shape, generator=torch.Generator().manual_seed(seed))
        step = choose_step(decoder, update, writes[150:], 0.1)
        assert nats_with(decoder, writes[150:], step * update) <= nats_with(
            decoder, writes[150:], None
        )


def test_nothing_held_out_is_an_error(decoder, learnt):
    writes, direction = learnt
    with pytest.raises(ValueError, match="no tokens"):
        choose_step(decoder, direction, writes[:0], 0.1)
