"""Forward-only writes are the exact gradient, and read what transformers reads."""

import pytest
import torch

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.readout import nats_with
from code2lora_lsp.neural.ledger.writes import (
    WINDOW_TOKENS,
    join,
    write,
    written_projection,
)
from code2lora_lsp.neural.lora import LoraAdapter, LoraPair
from tests.fakes import TINY, random_weights
from tests.parity.test_transformers import make_pair

torch.set_num_threads(1)

HEADER = [7, 3, 9]
TEXT = [(7 * i * i + 3 * i) % 251 for i in range(60)]


@pytest.fixture(scope="module")
def decoder():
    return Decoder(TINY, random_weights(TINY))


@pytest.mark.parametrize("tied", [False, True])
def test_errors_times_keys_are_minus_the_gradient_that_transformers_computes(tied):
    theirs, ours = make_pair(tie_word_embeddings=tied)
    projection = written_projection(ours)
    weight = theirs.get_submodule(projection.module_path).weight
    ids = torch.tensor([[*HEADER, *TEXT]])
    logits = theirs(input_ids=ids).logits[0, len(HEADER) - 1 : -1]
    nats = torch.nn.functional.cross_entropy(logits, torch.tensor(TEXT), reduction="none")
    (gradient,) = torch.autograd.grad((2 / 3 * nats**1.5).sum(), weight)
    writes = write(ours, HEADER, TEXT)
    assert torch.allclose(writes.errors.T @ writes.keys, -gradient, atol=1e-4, rtol=1e-4)
    assert nats_with(ours, writes, None) == pytest.approx(nats.mean().item(), rel=1e-5)


def test_keys_and_outputs_are_what_the_last_down_proj_of_transformers_sees():
    theirs, ours = make_pair()
    seen = {}
    module = theirs.get_submodule(written_projection(ours).module_path)
    module.register_forward_hook(lambda _, inputs, __: seen.update(keys=inputs[0][0]))
    theirs.model.norm.register_forward_hook(lambda _, inputs, __: seen.update(out=inputs[0][0]))
    with torch.no_grad():
        theirs(input_ids=torch.tensor([[*HEADER, *TEXT]]))
    writes = write(ours, HEADER, TEXT)
    rows = slice(len(HEADER) - 1, -1)
    assert torch.allclose(writes.keys, seen["keys"][rows], atol=1e-4)
    assert torch.allclose(writes.outputs, seen["out"][rows], atol=1e-4)


def test_a_backbone_in_half_precision_writes_nearly_the_same(decoder):
    half = Decoder(TINY, random_weights(TINY), dtype=torch.bfloat16)
    exact, rounded = write(decoder, HEADER, TEXT), write(half, HEADER, TEXT)
    update = 0.1 * torch.randn(TINY.width, TINY.intermediate_width)
    for name in ("keys", "errors", "outputs"):
        one, other = getattr(exact, name), getattr(rounded, name)
        assert other.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(one, other).mean() > 0.99
    assert nats_with(half, rounded, update) == pytest.approx(
        nats_with(decoder, exact, update), rel=0.02
    )


def test_one_write_per_token_of_the_text_and_none_for_the_header(decoder):
    writes = write(decoder, HEADER, TEXT)
    assert writes.n_tokens == len(TEXT)
    assert writes.next_ids.tolist() == TEXT
    assert write(decoder, [], TEXT).next_ids.tolist() == TEXT[1:]
    assert write(decoder, [], [5]).n_tokens == 0
    assert write(decoder, HEADER, []).n_tokens == 0


def test_a_long_text_is_written_in_windows(decoder):
    long = [3 + i % 200 for i in range(TINY.max_positions + 100)]
    writes = write(decoder, HEADER, long)
    assert writes.next_ids.tolist() == long
    first = TINY.max_positions - len(HEADER)
    assert first < WINDOW_TOKENS
    second = write(decoder, HEADER, long[first:])
    assert torch.equal(writes.keys[first:], second.keys)


def test_a_header_as_long_as_the_window_is_refused(decoder):
    with pytest.raises(ShapeMismatch, match="header"):
        write(decoder, [1] * TINY.max_positions, TEXT)


def test_the_same_text_writes_the_same_bits(decoder):
    one, other = (write(decoder, HEADER, TEXT) for _ in range(2))
    assert torch.equal(one.keys, other.keys)
    assert torch.equal(one.errors, other.errors)


def test_a_trial_of_an_update_is_what_binding_it_gives(decoder):
    writes = write(decoder, HEADER, TEXT)
    generator = torch.Generator().manual_seed(4)
    b, a = torch.randn(32, 3, generator=generator), torch.randn(3, 64, generator=generator)
    projection = written_projection(decoder)
    adapter = LoraAdapter({projection: LoraPair(a * 0.3, b * 0.3)}, scale=1.0)
    weights = decoder.merged(adapter)
    cache = decoder.new_cache(len(HEADER) + len(TEXT))
    cache.rebind(adapter.adapter_id)
    nats = 0.0
    for index, token in enumerate(TEXT):
        logits = (
            decoder.prefill(HEADER, cache, weights)
            if index == 0
            else decoder.decode_one(TEXT[index - 1], cache, weights)
        )
        nats -= float(torch.log_softmax(logits, -1)[token])
    update = adapter.pairs[projection].delta(1.0)
    assert nats_with(decoder, writes, update) == pytest.approx(nats / len(TEXT), rel=1e-4)
    assert nats_with(decoder, writes, update) != pytest.approx(nats_with(decoder, writes, None))


def test_joining_nothing_is_an_error():
    with pytest.raises(ValueError, match="no writes"):
        join([])


def test_the_last_layer_refuses_texts_that_do_not_fit(decoder):
    with pytest.raises(ShapeMismatch, match="want"):
        decoder.last_layer(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ShapeMismatch, match="513"):
        decoder.last_layer(torch.zeros(1, 513, dtype=torch.int64))
