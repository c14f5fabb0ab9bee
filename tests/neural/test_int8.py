"""What an int8 checkpoint held is found again, and multiplied as bytes."""

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.int8_products import can_multiply_int8
from code2lora_lsp.neural.int8_rows import find_int8
from tests.fakes import TINY, int8_weights, random_adapter, random_weights

torch.set_num_threads(1)

PROMPT = [(7 * i * i + 3 * i) % 251 for i in range(60)]
multiplies = pytest.mark.skipif(not can_multiply_int8(), reason="this torch has no FBGEMM")


def logits_of(decoder, adapter=None):
    weights = decoder.merged(adapter)
    cache = decoder.new_cache(128)
    cache.rebind(weights.adapter_id)
    return decoder.prefill(PROMPT, cache, weights)


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def test_the_bytes_of_an_int8_checkpoint_are_found_again():
    decoder = Decoder(TINY, int8_weights(TINY))
    found = find_int8(decoder.pristine)
    for layer, rows in zip(decoder.pristine.layers, found.layers, strict=True):
        for name in ("qkv", "out", "gate_up", "down"):
            matrix, of = getattr(layer, name), getattr(rows, name)
            assert of.levels.is_contiguous()
            assert torch.allclose(of.levels * of.scales[:, None], matrix, rtol=1e-5, atol=0)


@pytest.mark.parametrize("of", ["model.layers.1.mlp.down_proj.weight", "lm_head.weight"])
def test_one_matrix_of_other_numbers_is_enough_to_offer_no_bytes(of):
    weights = int8_weights(TINY)
    weights[of] = random_weights(TINY)[of]
    assert find_int8(Decoder(TINY, weights).pristine) is None


def test_bfloat16_is_not_looked_at():
    weights = Decoder(TINY, int8_weights(TINY), dtype=torch.bfloat16).pristine
    assert find_int8(weights) is None


@multiplies
def test_a_prompt_read_as_bytes_is_nearly_the_prompt_read_in_float32():
    plain, decoder = Decoder(TINY, int8_weights(TINY)), Decoder(TINY, int8_weights(TINY))
    assert not decoder.reads_int8
    decoder.read_int8(wanted=True)
    assert decoder.reads_int8
    exact = logits_of(plain)
    assert 0 < relative(logits_of(decoder), exact) < 0.03
    decoder.read_int8(wanted=False)
    assert torch.equal(logits_of(decoder), exact)


@multiplies
def test_an_adapter_is_not_rounded_and_the_last_one_merged_is_read():
    plain, decoder = Decoder(TINY, int8_weights(TINY)), Decoder(TINY, int8_weights(TINY))
    decoder.read_int8(wanted=True)
    for adapter in (random_adapter(seed=1), None, random_adapter(seed=2)):
        assert relative(logits_of(decoder, adapter), logits_of(plain, adapter)) < 0.03
    whole = logits_of(decoder, random_adapter(seed=1))  # every matrix adapted: none is bytes
    assert torch.equal(whole, logits_of(plain, random_adapter(seed=1)))


@multiplies
def test_whoever_reads_without_a_cache_reads_in_float32():
    plain, decoder = Decoder(TINY, int8_weights(TINY)), Decoder(TINY, int8_weights(TINY))
    decoder.read_int8(wanted=True)
    ids = torch.tensor([PROMPT])
    mask = torch.ones_like(ids)
    assert torch.equal(decoder.hidden_states(ids, mask), plain.hidden_states(ids, mask))
    assert torch.equal(decoder.last_layer(ids).output, plain.last_layer(ids).output)


@multiplies
def test_a_backbone_of_other_numbers_cannot_be_read_as_bytes():
    decoder = Decoder(TINY, random_weights(TINY))
    decoder.read_int8(wanted=True)
    assert not decoder.reads_int8
