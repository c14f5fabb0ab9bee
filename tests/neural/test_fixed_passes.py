"""Replayed passes say what other passes say, whatever text or adapter they were recorded with."""

import gc
from dataclasses import replace

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.few_tokens import TORCH
from code2lora_lsp.neural.fixed_passes import WIDTHS
from code2lora_lsp.neural.session import DecodeSession
from tests.fakes import TINY, random_adapter, random_weights
from tests.neural.recorder import Broken, Recorder

torch.set_num_threads(1)

TOLERANCE = 1e-4
CAPACITY = 128
PROMPT = [(7 * i * i + 3 * i) % 251 for i in range(60)]
SHAPES = {
    "grouped": TINY,
    "one key-value head": replace(TINY, n_kv_heads=1),
    "a key-value head each": replace(TINY, n_kv_heads=4),
    "tied": replace(TINY, tied_embeddings=True),
}


def plain_decoder(config=TINY, dtype=torch.float32):
    decoder = Decoder(config, random_weights(config), dtype=dtype)
    decoder.steps_through = TORCH
    return decoder


def captured_decoder(config=TINY, dtype=torch.float32, capacity=CAPACITY):
    decoder, recorder = plain_decoder(config, dtype), Recorder()
    assert decoder.capture(capacity, recorder.record)
    return decoder, recorder


class Watched(DecodeSession):
    """A session that knows how many of its decode passes were not replayed."""

    def __init__(self, decoder, capacity=CAPACITY):
        super().__init__(decoder, capacity)
        self.not_replayed = 0
        plain = decoder._read

        def read(token_ids, *rest, **named):
            self.not_replayed += len(token_ids) <= max(WIDTHS)
            return plain(token_ids, *rest, **named)

        decoder._read = read

    def ask(self, prompt):
        return self.feed(prompt, lambda: None).logits

    def greedy(self, prompt, n_tokens):
        """Tokens and the logits each was chosen from."""
        logits, tokens, rows = self.ask(prompt), [], []
        for _ in range(n_tokens):
            rows.append(logits)
            tokens.append(int(logits.argmax()))
            logits = self.advance(tokens[-1])
        return tokens, torch.stack(rows)


def assert_same(one, other):
    assert float((one - other).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_decode_has_the_same_tokens_and_logits_as_without(shape):
    config = SHAPES[shape]
    session = Watched(captured_decoder(config)[0])
    tokens, rows = session.greedy(PROMPT, 60)
    expected_tokens, expected_rows = Watched(plain_decoder(config)).greedy(PROMPT, 60)
    assert tokens == expected_tokens
    assert_same(rows, expected_rows)
    assert session.not_replayed == 0


def test_a_pass_over_guesses_has_the_logits_of_one_token_after_the_other():
    ours, theirs = captured_decoder()[0], plain_decoder()
    for n_tokens in range(1, max(WIDTHS) + 2):  # the last is more than any pass takes
        cache, other = ours.new_cache(CAPACITY), theirs.new_cache(CAPACITY)
        ours.prefill(PROMPT, cache)
        theirs.prefill(PROMPT, other)
        tokens = PROMPT[5 : 5 + n_tokens]
        rows = ours.decode_ahead(tokens, cache)
        expected = torch.stack([theirs.decode_one(token, other) for token in tokens])
        assert_same(rows, expected)
        assert cache.tokens == [*PROMPT, *tokens]
        assert_same(ours.decode_one(9, cache), theirs.decode_one(9, other))


def test_cropping_and_going_another_way_leaves_no_trace():
    ours, theirs = captured_decoder()[0], plain_decoder()
    cache, other = ours.new_cache(CAPACITY), theirs.new_cache(CAPACITY)
    for decoder, one in ((ours, cache), (theirs, other)):
        decoder.prefill(PROMPT, one)
    ours.decode_ahead([1, 2, 3, 4, 5], cache)
    for length in (len(PROMPT) + 2, len(PROMPT) - 20, 1):
        cache.crop(length)
        other.tokens[:] = []
        theirs.prefill(cache.tokens, other)
        for token in (40, 41, 42):
            assert_same(ours.decode_one(token, cache), theirs.decode_one(token, other))


def test_several_texts_take_turns_in_the_one_place():
    session = Watched(captured_decoder()[0])
    other = Watched(plain_decoder())
    texts = [[mark, *PROMPT] for mark in (100, 101, 102, 103)]  # one more than are kept
    for turn in range(3):
        for text in texts:
            asked = [*text, turn]
            assert_same(session.ask(asked), other.ask(asked))
            assert_same(session.advance(7), other.advance(7))
    assert session.not_replayed == 0


def test_a_session_beside_it_and_its_end_change_nothing():
    decoder = captured_decoder()[0]
    session, expected = Watched(decoder), Watched(plain_decoder())
    first, second = session.greedy(PROMPT, 4)[0], None
    beside = DecodeSession(decoder, 64)
    beside.feed(PROMPT[:30], lambda: None)
    beside.advance(3)
    second = [int(session.advance(token).argmax()) for token in (7, 8)]
    del beside
    gc.collect()
    third = [int(session.advance(token).argmax()) for token in (9, 10)]
    tokens = expected.greedy(PROMPT, 4)[0]
    assert first == tokens
    assert second + third == [int(expected.advance(t).argmax()) for t in (7, 8, 9, 10)]


def test_binding_an_adapter_records_nothing_again_and_moves_no_memory():
    decoder, recorder = captured_decoder()
    assert recorder.n_recorded == len(WIDTHS)
    session, expected = Watched(decoder), Watched(plain_decoder())
    addresses = set()
    for adapter in (random_adapter(seed=1), None, random_adapter(seed=2), random_adapter(seed=3)):
        session.bind(adapter)
        expected.bind(adapter)
        tokens, rows = session.greedy(PROMPT, 12)
        expected_tokens, expected_rows = expected.greedy(PROMPT, 12)
        assert tokens == expected_tokens
        assert_same(rows, expected_rows)
        addresses.add(tuple(t.data_ptr() for t in decoder.merged(adapter).tensors()))
    assert len(addresses) == 2, "pristine, and the one second buffer"
    assert recorder.n_recorded == 2 * len(WIDTHS)
    assert session.not_replayed == 0


def test_capturing_after_an_adapter_is_bound_records_both_buffers():
    decoder, recorder = plain_decoder(), Recorder()
    session, expected = Watched(decoder), Watched(plain_decoder())
    for one in (session, expected):
        one.bind(random_adapter())
    assert decoder.capture(CAPACITY, recorder.record)
    assert recorder.n_recorded == 2 * len(WIDTHS)
    assert session.greedy(PROMPT, 5)[0] == expected.greedy(PROMPT, 5)[0]
    assert session.not_replayed == 0


def test_nothing_that_is_recorded_waits_for_the_host():
    kernels = captured_decoder()[1].kernels
    assert any("scaled_dot_product" in kernel for kernel in kernels)
    waits = ("_local_scalar_dense", "nonzero", "is_nonzero", "item", "pin_memory")
    assert not [kernel for kernel in kernels for wait in waits if wait in kernel]


def test_the_end_of_the_place_is_reached_without_the_passes():
    decoder = captured_decoder(capacity=CAPACITY)[0]
    session = Watched(decoder, CAPACITY)
    expected = Watched(plain_decoder(), CAPACITY)
    n_tokens = CAPACITY - len(PROMPT)
    assert session.greedy(PROMPT, n_tokens)[0] == expected.greedy(PROMPT, n_tokens)[0]
    cache, other = session._now._cache, expected._now._cache
    cache.crop(CAPACITY - 3)  # room for three, and a pass over guesses takes eight
    other.crop(CAPACITY - 3)
    rows = decoder.decode_ahead([5, 6, 7], cache)
    assert_same(rows, expected.backbone.decode_ahead([5, 6, 7], other))


def test_the_last_positions_of_a_model_are_decoded_too():
    config = replace(TINY, max_positions=70)
    ours, theirs = captured_decoder(config, capacity=70)[0], plain_decoder(config)
    cache, other = ours.new_cache(70), theirs.new_cache(70)
    for decoder, one in ((ours, cache), (theirs, other)):
        decoder.prefill(PROMPT, one)
        decoder.decode_ahead([1, 2, 3, 4, 5, 6], one)
    for token in range(4):
        assert_same(ours.decode_one(token, cache), theirs.decode_one(token, other))


def test_a_cache_larger_than_the_place_is_decoded_without_the_passes():
    decoder = captured_decoder(capacity=CAPACITY)[0]
    session = Watched(decoder, 256)
    tokens = session.greedy(PROMPT, 5)[0]
    assert tokens == Watched(plain_decoder(), 256).greedy(PROMPT, 5)[0]
    assert session.not_replayed == 5


def test_numbers_that_are_none_left_by_a_broken_pass_do_not_reach_the_next_text():
    decoder = captured_decoder()[0]
    session = Watched(decoder)
    session.greedy(PROMPT, 20)
    cache = session._now._cache
    with torch.inference_mode():
        cache.keys.fill_(float("nan"))
        cache.values.fill_(float("nan"))
    session.reset()
    tokens, rows = session.greedy(PROMPT[:10], 10)
    expected_tokens, expected_rows = Watched(plain_decoder()).greedy(PROMPT[:10], 10)
    assert tokens == expected_tokens
    assert_same(rows, expected_rows)


@pytest.mark.parametrize("n_recorded", [0, 1])
def test_a_capture_that_fails_is_said_once_and_costs_only_time(n_recorded, caplog):
    decoder = plain_decoder()
    assert not decoder.capture(CAPACITY, Broken(n_recorded).record)
    (line,) = caplog.messages
    assert "CUDA graph" in line
    assert "stream is capturing" in line
    assert "tail" not in line
    session = Watched(decoder)
    session.bind(random_adapter())
    assert len(caplog.messages) == 1, "what failed once is not tried at each adapter"
    expected = Watched(plain_decoder())
    expected.bind(random_adapter())
    assert session.greedy(PROMPT, 5)[0] == expected.greedy(PROMPT, 5)[0]


def test_the_second_buffer_is_recorded_though_the_first_merge_into_it_broke(monkeypatch):
    decoder, recorder = captured_decoder()
    session = Watched(decoder)

    def broken(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("code2lora_lsp.neural.decoder.merge_into", broken)
        with pytest.raises(MemoryError):
            session.bind(random_adapter())
    assert recorder.n_recorded == len(WIDTHS)
    session.bind(random_adapter())
    session.greedy(PROMPT, 3)
    assert session.not_replayed == 0


def test_where_only_the_second_buffer_fails_the_plain_backbone_is_still_replayed(caplog):
    decoder = plain_decoder()
    assert decoder.capture(CAPACITY, Broken(len(WIDTHS)).record)
    session, expected = Watched(decoder), Watched(plain_decoder())
    session.greedy(PROMPT, 3)
    assert session.not_replayed == 0
    for one in (session, expected):
        one.bind(random_adapter())
    assert session.greedy(PROMPT, 5)[0] == expected.greedy(PROMPT, 5)[0]
    assert session.not_replayed == 5
    assert len(caplog.messages) == 1


def test_in_bfloat16_a_replayed_pass_is_as_near_to_float32_as_another_one():
    exact = Watched(plain_decoder()).ask(PROMPT)
    replayed, plain = (
        Watched(decoder) for decoder in (captured_decoder(dtype=torch.bfloat16)[0],
                                         plain_decoder(dtype=torch.bfloat16))
    )  # fmt: skip
    rows = []
    for session in (replayed, plain):
        session.ask(PROMPT[:-1])
        rows.append(session.advance(PROMPT[-1]))
        assert session._now._cache.keys.dtype == torch.bfloat16
        assert rows[-1].dtype == torch.float32
    assert replayed.not_replayed == 0
    near, also_near = (float((row - exact).abs().mean()) for row in rows)
    assert near < 1.5 * also_near + 0.01
    assert torch.nn.functional.cosine_similarity(rows[0], exact, dim=0) > 0.98


def test_what_a_pass_returns_is_not_overwritten_by_the_next():
    decoder = captured_decoder()[0]
    cache = decoder.new_cache(CAPACITY)
    first = decoder.decode_one(5, cache)
    kept = first.clone()
    decoder.decode_one(6, cache)
    assert torch.equal(first, kept)
