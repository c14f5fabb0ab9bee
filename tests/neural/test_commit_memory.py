"""The commit memory: what a delta write stores, what gates do, and where gradients reach."""

import math

import pytest
import torch

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.commit_memory import (
    LARGEST_STEP_LOG,
    CommitMemory,
    CommitMemoryConfig,
    Gates,
    Metric,
    OutputHead,
    missed,
    nats_of,
    written,
)
from code2lora_lsp.neural.ledger.population import Population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan

CONFIG = CommitMemoryConfig(
    feature_width=5, width=4, inner_width=6, hidden_width=7, n_styles=3, style_rank=2,
    step=0.5, decay=0.8, prior_tokens=2.0,
)  # fmt: skip


@pytest.fixture
def memory():
    torch.manual_seed(0)
    return CommitMemory(CONFIG)


def head(width=4, vocabulary=9):
    generator = torch.Generator().manual_seed(1)
    return OutputHead(
        torch.rand(width, generator=generator) + 0.5, 1e-6,
        torch.randn(vocabulary, width, generator=generator),
    )  # fmt: skip


def gates(step=1.0, decay=1.0):
    return Gates(torch.tensor(step), torch.tensor(decay))


def test_a_write_is_read_back_under_its_key():
    keys, values = torch.eye(6)[:2] * 50.0, torch.randn(2, 4)
    fast = written(torch.zeros(4, 6), keys, values, gates(), prior_tokens=1.0)
    assert torch.allclose(fast @ keys[0], values[0], rtol=1e-2, atol=1e-3)
    assert torch.equal(fast @ torch.eye(6)[5], torch.zeros(4))


def test_a_key_written_twice_in_one_commit_is_not_written_twice_as_strongly():
    key, value = torch.eye(6)[:1] * 50.0, torch.randn(1, 4)
    once = written(torch.zeros(4, 6), key, value, gates(), prior_tokens=1.0)
    twice = written(
        torch.zeros(4, 6), key.repeat(2, 1), value.repeat(2, 1), gates(), prior_tokens=1.0
    )
    assert torch.allclose(once, twice, rtol=1e-2)


def test_the_prior_keeps_a_commit_of_few_tokens_small():
    key, value = torch.eye(6)[:1], torch.ones(1, 4)
    fast = written(torch.zeros(4, 6), key, value, gates(), prior_tokens=9.0)
    assert torch.allclose(fast[:, 0], torch.full((4,), 0.1))


def test_a_commit_without_tokens_only_lets_the_memory_fade():
    fast = torch.ones(4, 6)
    empty = written(fast, torch.zeros(0, 6), torch.zeros(0, 4), gates(1.0, 0.25), 1.0)
    assert torch.equal(empty, fast / 4)


@torch.no_grad()
def test_gates_start_near_the_constants_and_stay_within_bounds(memory):
    quiet = memory.gates_at(torch.zeros(7))
    assert float(quiet.step) == pytest.approx(CONFIG.step)
    assert float(quiet.decay) == pytest.approx(CONFIG.decay)
    loud = memory.gates_at(torch.full((7,), 1e4))
    largest = CONFIG.step * math.exp(LARGEST_STEP_LOG)
    assert float(loud.step) <= largest * 1.001
    assert 0.0 <= float(loud.decay) <= 1.0


def test_a_style_is_the_update_it_says_it_is(memory):
    keys, style = torch.randn(8, 6), torch.randn(3)
    assert torch.allclose(
        memory.styled(keys, style), keys @ memory.style_update(style).T, atol=1e-6
    )


def test_features_of_another_width_are_refused(memory):
    with pytest.raises(ShapeMismatch, match=r"\[4\], wanted \[5\]"):
        memory.next_hidden(torch.zeros(4), memory.initial_state().hidden)


def test_errors_are_the_slope_of_the_surprise_to_three_halves():
    outputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    next_ids = torch.tensor([0, 3, 8, 1, 1, 5])
    nats = nats_of(outputs, next_ids, head())
    (slope,) = torch.autograd.grad((2 / 3 * nats.pow(1.5)).sum(), outputs)
    found = missed(outputs, next_ids, head())
    assert torch.allclose(found.nats, nats, atol=1e-5)
    assert torch.allclose(found.errors, -slope, atol=1e-4)


def test_keys_of_the_population_are_white_in_its_metric():
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(4_000, 6, generator=generator) @ torch.randn(6, 6, generator=generator)
    population = Population(keys.T @ keys / len(keys), torch.eye(4) * 2.0, len(keys), "b")
    metric = Metric.of(population, ReadoutPlan(key_damping=1e-6, error_damping=0.0))
    white = metric.white(keys)
    assert torch.allclose(white.T @ white / len(keys), torch.eye(6), atol=2e-2)
    assert torch.allclose(metric.error_solver, torch.eye(4) / 2)
    fast = torch.randn(4, 6, generator=generator)
    assert torch.allclose(keys @ metric.update(fast).T, white @ fast.T, atol=1e-4)
