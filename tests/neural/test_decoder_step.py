"""One token through numpy is one token through torch."""

from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.few_tokens import NUMPY, TORCH
from tests.fakes import TINY, random_adapter, random_weights

torch.set_num_threads(1)

TOLERANCE = 1e-4
PROMPT = [(7 * i * i + 3 * i) % 251 for i in range(90)]
SHAPES = {
    "grouped": TINY,
    "one key-value head": replace(TINY, n_kv_heads=1),
    "a key-value head each": replace(TINY, n_kv_heads=4),
    "tied": replace(TINY, tied_embeddings=True),
}


def both(config, weights=None):
    """The same decoder twice: stepping in numpy, and in torch."""
    weights = weights or random_weights(config)
    in_numpy, in_torch = Decoder(config, weights), Decoder(config, weights)
    in_torch.steps_through = TORCH
    return in_numpy, in_torch


def logits_of(decoder, adapter=None):
    """After a prefill and after each of a few steps behind it, [n, V]."""
    weights = decoder.merged(adapter)
    cache = decoder.new_cache(128)
    cache.rebind(weights.adapter_id)
    found = [decoder.prefill(PROMPT[:60], cache, weights)]
    found += [decoder.decode_one(token, cache, weights) for token in PROMPT[60:]]
    return torch.stack(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_in_numpy_and_in_torch_have_the_same_logits_and_greedy_tokens(shape):
    in_numpy, in_torch = (logits_of(decoder) for decoder in both(SHAPES[shape]))
    assert float((in_numpy - in_torch).abs().max()) <= TOLERANCE
    assert torch.equal(in_numpy.argmax(-1), in_torch.argmax(-1))


def test_a_step_reads_the_adapter_that_is_merged_now():
    in_numpy, in_torch = both(TINY)
    for adapter in (random_adapter(seed=1), None, random_adapter(seed=2)):
        ours, theirs = logits_of(in_numpy, adapter), logits_of(in_torch, adapter)
        assert float((ours - theirs).abs().max()) <= TOLERANCE


def test_what_a_step_returns_is_not_overwritten_by_the_next():
    decoder = both(TINY)[0]
    cache = decoder.new_cache(64)
    first = decoder.decode_one(5, cache)
    kept = first.clone()
    decoder.decode_one(6, cache)
    assert torch.equal(first, kept)


def test_gates_far_below_zero_are_closed_without_a_warning():
    weights = random_weights(TINY)
    for name in list(weights):
        if "gate_proj" in name:
            weights[name] = weights[name] * 1e4
    in_numpy, in_torch = (logits_of(decoder) for decoder in both(TINY, weights))
    assert torch.isfinite(in_numpy).all()
    assert torch.allclose(in_numpy, in_torch, rtol=1e-3, atol=1e-2)


def test_steps_run_through_numpy_unless_somebody_asks_for_something_else():
    assert both(TINY)[0].steps_through == NUMPY


def test_steps_stay_in_torch_in_another_dtype():
    decoder = Decoder(TINY, random_weights(TINY), dtype=torch.bfloat16)
    assert decoder.step_ways == (TORCH,)
    assert decoder.decode_one(5, decoder.new_cache(8)).dtype == torch.float32
