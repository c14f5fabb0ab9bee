"""What a trial on a card decides; here the card is a decoder whose passes take planted time."""

import logging

import pytest
import torch

from code2lora_lsp.config import CompletionSettings, Settings
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.few_tokens import TORCH
from code2lora_lsp.neural.fixed_passes import WIDTHS
from code2lora_lsp.runtime import tuning
from code2lora_lsp.runtime.cuda_tuning import AHEAD_TOKENS, tune_cuda
from code2lora_lsp.runtime.model_loading import LoadedModel
from tests.fakes import TINY, Clock, PlantedDecoder, random_weights
from tests.neural.recorder import Broken, Recorder

torch.set_num_threads(1)


class Card(Decoder):
    """A decoder that takes ``pass_s`` for a pass, and ``token_s`` for each of its tokens."""

    def __init__(self, pass_s, token_s):
        super().__init__(TINY, random_weights(TINY))
        self.steps_through = TORCH
        self.clock, self.pass_s, self.token_s = Clock(), pass_s, token_s

    def prefill(self, token_ids, cache, weights=None):
        self.clock.now_s += self.pass_s + self.token_s * len(token_ids)
        return super().prefill(token_ids, cache, weights)

    def decode_ahead(self, token_ids, cache, weights=None):
        self.clock.now_s += self.pass_s + self.token_s * len(token_ids)
        return super().decode_ahead(token_ids, cache, weights)


def tuned(card, capacity=512):
    recorder = Recorder()
    tune_cuda(card, capacity, recorder.record, card.clock)
    return recorder


def test_a_prompt_is_read_in_the_largest_pieces_that_still_end_in_ten_milliseconds():
    for token_s, expected in ((10e-6, 512), (30e-6, 256), (60e-6, 128), (1e-3, 64)):
        card = Card(1e-3, token_s)
        tuned(card)
        assert card.chunk_tokens == expected
    small = Card(1e-3, 10e-6)
    tuned(small, capacity=200)
    assert small.chunk_tokens == 128, "larger pieces than there is room for are not tried"


def test_guesses_are_run_where_a_wider_pass_costs_little_more():
    cheap, dear = Card(3e-3, 1e-5), Card(1e-3, 1e-3)
    for card in (cheap, dear):
        tuned(card)
    assert (cheap.ahead_tokens, dear.ahead_tokens) == (AHEAD_TOKENS, 0)


def test_passes_are_captured_before_anything_is_tried():
    assert tuned(Card(1e-3, 0.0)).n_recorded == len(WIDTHS)


def test_without_a_capture_the_trial_goes_on(caplog):
    card = Card(1e-3, 0.0)
    with caplog.at_level(logging.WARNING):
        tune_cuda(card, 300, Broken(0).record, card.clock)
    assert card.ahead_tokens == AHEAD_TOKENS
    assert len(caplog.messages) == 1


def test_a_foreign_backbone_is_tried_and_not_captured():
    backbone, recorder, clock = PlantedDecoder(), Recorder(), Clock()
    backbone.decode_ahead = lambda ids, cache, weights=None: torch.zeros(len(ids), 264)
    plain = backbone.merged(None)
    for name in ("prefill", "decode_one"):
        run = getattr(backbone, name)
        setattr(backbone, name, lambda ids, cache, run=run: run(ids, cache, plain))
    tune_cuda(backbone, 300, recorder.record, clock)
    assert recorder.n_recorded == 0
    assert backbone.chunk_tokens == 256


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_model_is_tuned_for_the_device_it_is_on(monkeypatch, tmp_path, device):
    backbone = Decoder(TINY, random_weights(TINY))
    backbone.device = torch.device(device)
    called = {}
    model = LoadedModel(backbone, None, "spm", "tiny")
    monkeypatch.setattr(tuning, "load_model", lambda *_: model)
    monkeypatch.setattr(tuning, "tune", lambda *_: called.setdefault("cpu", None))
    monkeypatch.setattr(tuning, "tune_cuda", lambda one, n: called.setdefault("cuda", n))
    settings = Settings(completion=CompletionSettings(prompt_tokens=200, max_tokens=20))
    assert tuning.load_tuned(tmp_path, settings, lambda *_: None) is model
    assert called == {"cpu": {"cpu": None}, "cuda": {"cuda": 220}}[device]
