"""Guesses: what they are, and that completions are the same with them and without."""

from pathlib import Path

import numpy as np
import pytest
import torch

from code2lora_lsp.cancellation import Deadline
from code2lora_lsp.config import CompletionSettings, ModelSettings
from code2lora_lsp.neural.few_tokens import TORCH
from code2lora_lsp.neural.fixed_passes import WIDTHS
from code2lora_lsp.neural.mixing import Likely
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.neural.sharp.evidence import FEATURES
from code2lora_lsp.neural.sharp.gate import Gate
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.api import CompletionRequest, NoCompletion, Trigger
from code2lora_lsp.runtime.completer import Completer
from code2lora_lsp.runtime.cuda_tuning import tune_cuda
from code2lora_lsp.runtime.guessing import Guesses
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.text.document import DocumentSnapshot
from tests.neural.recorder import Recorder
from tests.projects import module, pottery

torch.set_num_threads(1)

NANO = Path(__file__).parents[2] / "models" / "nano"
MARKER = 99


def guesses(prompt, written=(), mixer=None, most=4, context=None):
    found = Guesses(prompt, prompt if context is None else context, mixer, {MARKER}, most)
    for token in written:
        found.wrote(token)
    return found.next()


class Knows:
    """A mixer that saw some contexts, each followed by one token."""

    def __init__(self, **after):
        self.after = {tuple(map(int, key[1:])): token for key, token in after.items()}

    def likely(self, context):
        for start in range(len(context)):
            found = self.after.get(tuple(context[start:]))
            if found is not None:
                return Likely(found, len(context) - start)
        return None


def test_what_followed_the_longest_match_comes_and_of_equal_ones_the_last():
    assert guesses([1, 2, 3, 4, 5, 6, 2, 3, 7, 8, 1, 2, 3]) == [4, 5, 6, 2]
    assert guesses([1, 2, 3, 4, 1, 2, 5, 6, 7, 8, 1, 2]) == [5, 6, 7, 8]


def test_one_token_alike_is_no_reason_to_guess():
    assert guesses([1, 2, 3, 4, 5, 2]) == []
    assert guesses([5]) == []
    assert guesses([]) == []


def test_what_is_written_is_context_and_may_be_repeated():
    assert guesses([1, 2, 3, 4], written=[1, 2]) == [3, 4, 1, 2]
    assert guesses([9], written=[1, 2, 3, 1, 2]) == [3, 1, 2]


def test_a_guess_ends_before_what_no_completion_holds():
    assert guesses([1, 2, 3, MARKER, 5, 1, 2]) == [3]
    assert guesses([1, 2, MARKER, 5, 1, 2]) == []


def test_behind_a_suffix_the_context_is_the_text_before_the_gap():
    prompt = [MARKER, 5, 6, 7, 1, 5, MARKER, 8, 9, MARKER]
    assert guesses(prompt, written=[6], context=[5, 6, 7, 1, 5]) == [7, 1, 5]


def test_the_repository_is_asked_where_it_knows_a_longer_context():
    prompt = [1, 2, 3, 4, 9, 2, 3]
    assert guesses(prompt, mixer=Knows(_23=7)) == [4, 9, 2, 3]
    assert guesses(prompt, mixer=Knows(_923=7, _237=8)) == [7, 8]
    assert guesses([5, 2, 3], mixer=Knows(_23=7)) == [7]
    assert guesses([5, 2, 3], mixer=Knows(_3=7)) == []


def test_a_table_guesses_the_commonest_token_of_the_longest_context_if_half_agree():
    table = NgramTable.empty(10, "letters").with_changes([[1, 2, 3], [1, 2, 3], [4, 2, 5], [6, 7]])
    memory = SharpMemory(table, Gate(np.zeros((1, len(FEATURES))), "backbone"))
    assert memory.likely([0, 1, 2]) == Likely(3, 2)
    assert memory.likely([4, 2]) == Likely(5, 2)
    assert memory.likely([9, 2]) == Likely(3, 1)
    assert memory.likely([8]) is None
    torn = NgramTable.empty(10, "letters").with_changes([[1, 2], [1, 3], [1, 4]])
    assert SharpMemory(torn, memory.gate).likely([1]) is None


@pytest.fixture(scope="module")
def nano():
    return load_model(NANO, ModelSettings(device="cpu", threads=1), lambda *_: None)


class Answering:
    """A completer of its own, with so many guesses and so much of the repository."""

    def __init__(self, model, ahead_tokens, mixer):
        self._backbone, self._ahead_tokens = model.backbone, ahead_tokens
        self.session = DecodeSession(model.backbone, 640)
        settings = CompletionSettings(
            prompt_tokens=512, suffix_tokens=64, max_tokens=32, min_confidence=0.05
        )
        self._completer = Completer(
            self.session, model.tokenizer, model.order, settings, model.confidence
        )
        self._completer.bind(mixer)

    def ask(self, text, offset, trigger):
        self._backbone.ahead_tokens = self._ahead_tokens
        document = DocumentSnapshot("file:///a.py", 1, "python", text)
        request = CompletionRequest(document, offset, trigger)
        found = self._completer.complete(request, None, Deadline(600.0), lambda: None)
        if isinstance(found, NoCompletion):
            return found.reason, None
        rounded = round(found.confidence, 3), round(found.log_probability, 3)
        return (found.text, found.alternatives), rounded


def memory_of_pottery(model):
    """Each order but the first is believed at 0.73."""
    weights = np.zeros((8, len(FEATURES)))
    weights[1:, 0] = 1.0
    table = NgramTable.empty(model.backbone.vocabulary_size, "nano").with_changes(
        model.tokenizer.encode(text) for text in pottery().values()
    )
    return SharpMemory(table, Gate(weights, "nano"))


def assert_alike(plain, other, n_places):
    """Cursors inside words and between them, typing and by hand, one text after the other."""
    text = module("anvil")
    rng = np.random.default_rng(1)
    offsets = rng.integers(len(text) // 4, len(text) - 40, n_places).tolist()
    for number, offset in enumerate(offsets):
        trigger = Trigger.INVOKED if number % 3 == 0 else Trigger.AUTOMATIC
        around = text[:offset] + "\n" * (number % 2) + text[offset + 30 :]
        assert plain.ask(around, offset, trigger) == other.ask(around, offset, trigger)


@pytest.mark.parametrize("with_memory", [False, True])
def test_completions_are_the_same_token_for_token_with_guesses_and_without(nano, with_memory):
    memory = memory_of_pottery(nano) if with_memory else None
    ran = []
    decode_ahead = nano.backbone.decode_ahead
    nano.backbone.decode_ahead = lambda ids, *rest: ran.append(len(ids)) or decode_ahead(ids, *rest)
    try:
        assert_alike(*(Answering(nano, n, memory) for n in (0, 5)), n_places=24)
    finally:
        del nano.backbone.decode_ahead
        nano.backbone.ahead_tokens = 0
    assert len(ran) > 10, "guesses were run"


def test_completions_are_the_same_as_a_card_makes_them(nano):
    """All of a card's way but the card: replayed passes, guesses, large pieces of a prompt."""
    memory, recorder = memory_of_pottery(nano), Recorder()
    card = load_model(NANO, ModelSettings(device="cpu", threads=1), lambda *_: None)
    card.backbone.steps_through = TORCH
    tune_cuda(card.backbone, 640, recorder.record)
    card.backbone.chunk_tokens = 256
    assert_alike(Answering(nano, 0, memory), Answering(card, 7, memory), n_places=12)
    assert recorder.n_recorded == len(WIDTHS)
