"""The completer without an engine around it: healing, loops, and what a bound mixer changes."""

import math
import re

import pytest

from code2lora_lsp.cancellation import Deadline
from code2lora_lsp.config import CompletionSettings
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.api import CompletionRequest, Reason
from code2lora_lsp.runtime.completer import Completer
from code2lora_lsp.text.document import DocumentSnapshot
from tests.fakes import FIRST_BYTE, ByteTokenizer, PlantedDecoder
from tests.marked import at_cursor


class WordTokenizer(ByteTokenizer):
    """Bytes again, but a word being typed is taken back, as with the models' tokenizers."""

    def last_piece(self, text):
        return re.search(r"\W?\w*\Z", text)[0]


class Asked:
    """A completer over a planted decoder."""

    def __init__(self, answer, tokenizer=None, **settings):
        settings = {"prompt_tokens": 300, "suffix_tokens": 50, "max_tokens": 48, **settings}
        self.decoder = PlantedDecoder(answer)
        self.session = DecodeSession(self.decoder, 400)
        self.completer = Completer(
            self.session, tokenizer or ByteTokenizer(), "spm", CompletionSettings(**settings)
        )

    def ask(self, marked):
        text, offset = at_cursor(marked)
        request = CompletionRequest(DocumentSnapshot("file:///a.py", 1, "python", text), offset)
        return self.completer.complete(request, None, Deadline(60.0), lambda: None)


class Prefers:
    """A memory that wants one character wherever the text ends as told; keeps what it was asked."""

    def __init__(self, character, after, share=0.9):
        self.token_id, self.after, self.share = ord(character) + FIRST_BYTE, after, share
        self.asked = []

    def near(self, in_sight):
        self.asked.append(ByteTokenizer().decode(list(in_sight)))
        return self

    def mixed(self, log_p, context):
        if not ByteTokenizer().decode(context).endswith(self.after):
            return log_p
        mixture = log_p.exp() * (1 - self.share)
        mixture[self.token_id] += self.share
        return mixture.log()


def test_a_cursor_inside_a_word_completes_that_word():
    one = Asked(" options\n", WordTokenizer())
    found = one.ask("x = opt|\n")
    assert (found.text, found.start, found.end) == ("ions", 7, 7)
    # the three bytes of the typed word are written too, and were not read
    assert found.timings.prompt_tokens == len("x =" + "\n") + 3
    assert found.timings.new_tokens == len(" options\n")


def test_what_is_typed_is_kept_even_if_the_model_would_write_another_word():
    found = Asked(" because\n", WordTokenizer()).ask("x = opt|\n")
    assert found.text == "ause", "the model's own text is followed from where the typed ends"


def test_repeating_what_is_typed_does_not_count_as_being_sure():
    one = Asked(" options\n", WordTokenizer(), min_confidence=0.0)
    one.decoder.peak = 3.0
    sure = 3 - math.log(math.exp(3) + 259)
    found = one.ask("x = opt|\n")
    # of " opt" only the last byte counts, which was certain; then come the four of "ions"
    assert found.log_probability == pytest.approx(4 * sure / 5, abs=1e-5)


def test_the_prompt_stays_the_same_while_a_word_is_typed():
    one = Asked(lambda _: " options\n", WordTokenizer())
    one.ask("x = op|\n")
    one.completer.forget()  # else typing through would answer
    found = one.ask("x = opt|\n")
    assert found.timings.reused_tokens == found.timings.prompt_tokens, "nothing is read again"


@pytest.mark.parametrize("opened", ["f(", "['", "g(a, [b"])
def test_a_loop_inside_brackets_it_opened_is_withdrawn(opened):
    one = Asked(opened + "-" * 40)
    assert one.ask("x = |\n").reason is Reason.EMPTY
    assert len(one.decoder.passes) < 20, "and decoding has stopped"


def test_a_loop_outside_brackets_keeps_its_first_round():
    assert Asked("a-b" + "-b" * 20).ask("x = |\n").text == "a-b"


def test_a_bound_mixer_changes_the_completion_and_its_confidence():
    one = Asked("answer\n")
    plain = one.ask("x = |\n")
    one.completer.bind(Prefers("x", after="x = an"))
    mixed = one.ask("x = |\n")
    assert (plain.text, mixed.text) == ("answer", "anxwer")
    expected = (5 * plain.log_probability + math.log(0.9)) / 6
    assert mixed.log_probability == pytest.approx(expected, abs=1e-3)
    one.completer.bind(None)
    assert one.ask("x = |\n").log_probability == plain.log_probability


def test_a_memory_is_asked_for_the_place_that_is_in_sight():
    one, memory = Asked("answer\n"), Prefers("x", after="nothing")
    one.completer.bind(memory)
    text, offset = at_cursor("x = |\ny = 2\n")
    document = DocumentSnapshot("file:///pkg/a.py", 1, "python", text)
    request = CompletionRequest(document, offset, path="pkg/a.py")
    one.completer.complete(request, None, Deadline(60.0), lambda: None)
    (in_sight,) = memory.asked
    assert "x = " in in_sight
    assert "y = 2" in in_sight


def test_binding_another_mixer_forgets_what_was_shown_and_the_same_one_does_not():
    one, mixer = Asked("answer\n"), Prefers("x", after="nothing")
    one.completer.bind(mixer)
    one.ask("x = |\n")
    n_passes = len(one.decoder.passes)
    one.completer.bind(mixer)
    assert one.ask("x = a|\n").text == "nswer"
    assert len(one.decoder.passes) == n_passes
    one.completer.bind(Prefers("x", after="nothing"))
    assert one.ask("x = an|\n").timings.new_tokens > 0, "the model was asked"


def test_decoding_stops_where_nothing_longer_would_be_shown():
    one = Asked("answer = something_long(and, more)\n", min_confidence=0.3)
    one.decoder.peak = 5.0  # 0.36 per token
    assert one.ask("x = |\n").reason is Reason.LOW_CONFIDENCE
    assert len(one.decoder.passes) == 2, "after the prompt and after the first of two tokens"
