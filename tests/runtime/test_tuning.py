"""A short trial decides how a backbone runs here, once."""

import json

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.few_tokens import NUMPY, TORCH
from code2lora_lsp.neural.int8_products import can_multiply_int8
from code2lora_lsp.runtime import tuning
from code2lora_lsp.runtime.tuning import Tuning, fewest_worth_it, tune
from tests.fakes import TINY, Clock, int8_weights, random_weights


class Timed(Decoder):
    """A decoder whose passes take planted time."""

    def __init__(self, clock, prefill_s, numpy_s, torch_s, int8=None):
        super().__init__(TINY, random_weights(TINY) if int8 is None else int8_weights(TINY))
        self.int8 = int8
        self.clock, self.prefill_s, self.numpy_s, self.torch_s = clock, prefill_s, numpy_s, torch_s
        self.passes = 0
        self.is_slower_with_more = False

    def prefill(self, token_ids, cache, weights=None):
        self.passes += 1
        if len(token_ids) > 1:
            by_int8 = self.int8 if self.reads_int8 else 1.0
            by_length = len(token_ids) / 64 if self.is_slower_with_more else 1.0
            self.clock.now_s += self.prefill_s[torch.get_num_threads()] * by_int8 * by_length
        else:
            taken_s = {NUMPY: self.numpy_s, TORCH: self.torch_s}
            self.clock.now_s += taken_s.get(self.steps_through, 100.0)
        return super().prefill(token_ids, cache, weights)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(tuning.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def timed(prefill_s=None, numpy_s=1.0, torch_s=3.0, int8=None):
    clock = Clock()
    return Timed(clock, prefill_s or {1: 8.0, 2: 5.0}, numpy_s, torch_s, int8), clock


QUICK = Tuning(threads=2, reads_int8=False, chunk_tokens=64, steps_through=NUMPY)


def test_what_is_faster_is_taken_and_set(tmp_path):
    decoder, clock = timed()
    assert tune(decoder, 0, tmp_path, clock) == QUICK
    assert (torch.get_num_threads(), decoder.steps_through) == (2, NUMPY)
    slow, clock = timed({1: 8.0, 2: 7.0}, numpy_s=4.0)
    found = tune(slow, 0, tmp_path / "other", clock)
    assert found == Tuning(threads=1, reads_int8=False, chunk_tokens=64, steps_through=TORCH)
    assert (torch.get_num_threads(), slow.steps_through) == (1, TORCH)


def test_the_outcome_is_remembered_and_not_tried_again(tmp_path):
    first, clock = timed()
    tune(first, 0, tmp_path, clock)
    again, clock = timed({1: 1.0, 2: 1.0}, numpy_s=9.0)
    assert tune(again, 0, tmp_path, clock) == QUICK
    assert again.passes == 0
    assert (torch.get_num_threads(), again.steps_through) == (2, NUMPY)


def test_the_users_threads_are_taken_without_a_trial_of_others(tmp_path):
    decoder, clock = timed({1: 8.0})
    assert tune(decoder, 1, tmp_path, clock).threads == 1
    other, clock = timed()
    assert tune(other, 0, tmp_path, clock).threads == 2, "remembered apart"


@pytest.mark.skipif(not can_multiply_int8(), reason="this torch has no FBGEMM")
@pytest.mark.parametrize(("int8", "pays"), [(0.3, True), (1.2, False)])
def test_prompts_are_multiplied_as_bytes_where_that_is_quicker(tmp_path, int8, pays):
    decoder, clock = timed(int8=int8)
    assert tune(decoder, 0, tmp_path, clock).reads_int8 is pays
    assert decoder.reads_int8 is pays
    again, clock = timed(int8=int8)
    assert tune(again, 0, tmp_path, clock).reads_int8 is pays
    assert again.passes == 0


@pytest.mark.parametrize(("pass_s", "chunk"), [(0.02, 64), (0.004, 128), (0.001, 512)])
def test_a_pass_takes_as_many_tokens_as_are_read_in_ten_milliseconds(tmp_path, pass_s, chunk):
    """A pass of 64 tokens takes ``pass_s`` here, one of twice as many twice as long."""
    decoder, clock = timed({1: pass_s})
    decoder.is_slower_with_more = True
    assert tune(decoder, 1, tmp_path, clock).chunk_tokens == chunk
    assert decoder.chunk_tokens == chunk


def test_a_way_that_is_not_here_any_more_costs_one_trial(tmp_path, monkeypatch):
    """As when the project was installed again without a compiler."""
    first, clock = timed()
    tune(first, 0, tmp_path, clock)
    path = tmp_path / tuning.FILE
    path.write_text(path.read_text().replace(f'"{NUMPY}"', '"kernel"'))
    again, clock = timed()
    assert tune(again, 0, tmp_path, clock) == QUICK
    assert again.passes > 0


@pytest.mark.parametrize("damage", [("64", "0"), ("2", '"two"'), ("false", "5")])
def test_damaged_numbers_cost_one_trial(tmp_path, damage):
    first, clock = timed()
    tune(first, 0, tmp_path, clock)
    path = tmp_path / tuning.FILE
    right, wrong = damage
    head, mark, tail = path.read_text().rpartition(f": {right}")
    path.write_text(f"{head}: {wrong}{tail}")
    assert mark
    again, clock = timed()
    assert tune(again, 0, tmp_path, clock) == QUICK
    assert again.passes > 0


def test_a_large_backbone_is_not_read_in_large_pieces_to_find_out(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "LARGE_BYTES", 0)
    decoder, clock = timed()
    sizes, plain = [], decoder.prefill
    monkeypatch.setattr(
        decoder, "prefill", lambda ids, *rest: (sizes.append(len(ids)), plain(ids, *rest))[1]
    )
    assert tune(decoder, 0, tmp_path, clock).chunk_tokens == 64
    assert max(sizes) <= 8


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_a_damaged_memory_costs_one_trial(tmp_path, content):
    path = tmp_path / tuning.FILE
    path.write_text(content)
    decoder, clock = timed()
    tune(decoder, 0, tmp_path, clock)
    assert decoder.passes > 0
    assert QUICK in [
        Tuning(**one) for one in json.loads(path.read_text()).values() if isinstance(one, dict)
    ]


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("")
    decoder, clock = timed()
    assert tune(decoder, 0, tmp_path / "file", clock).threads == 2


def test_more_threads_have_to_pay():
    assert fewest_worth_it({1: 10.0, 2: 6.0, 4: 4.0}) == 4
    assert fewest_worth_it({1: 10.0, 2: 6.0, 4: 5.0}) == 2
    assert fewest_worth_it({1: 10.0, 2: 9.0, 4: 2.0}) == 1
    assert fewest_worth_it({4: 1.0}) == 4
