"""Alternatives on request, and what stays offered while one is accepted in parts."""

import pytest
import torch

from code2lora_lsp.runtime.api import Trigger
from tests.fakes import FIM, FIRST_BYTE, ByteTokenizer, PlantedDecoder


class Torn(PlantedDecoder):
    """Would like to write several texts after ``x = ``, the first ones most."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = answers

    def _step(self, token_ids, cache, weights):
        self.passes.append((weights.adapter_id, len(token_ids)))
        cache.tokens.extend(token_ids)
        written = ByteTokenizer().decode(cache.tokens).rpartition("x = ")[2]
        logits = torch.zeros(self.vocabulary_size)
        logits[FIM.end_of_text] = 1.0
        for rank, answer in enumerate(self.answers):
            if answer.startswith(written) and answer != written:
                token = answer.encode()[len(written.encode())] + FIRST_BYTE
                logits[token] = max(float(logits[token]), 12.0 - rank)
        return logits


def test_by_hand_up_to_three_distinct_suggestions_come_the_likeliest_first(start):
    one = start(Torn("alpha\n", "amber\n", "beta\n", "delta\n"))
    found = one.ask("x = |\n", trigger=Trigger.INVOKED)
    assert (found.text, *found.alternatives) == ("alpha", "amber", "beta")
    n_read = sum(n for _, n in one.decoder.passes if n > 1)
    assert n_read < 2 * found.timings.prompt_tokens, "the prompt is read once"


def test_while_typing_there_is_one(start):
    one = start(Torn("alpha\n", "amber\n"))
    assert one.ask("x = |\n").alternatives == ()


def test_by_hand_another_is_offered_where_the_first_says_nothing_new(start):
    one = start(Torn("alpha\n", "amber\n"))
    found = one.ask("x = alpha\nx = |\n", trigger=Trigger.INVOKED)
    assert (found.text, found.alternatives) == ("amber", ())


def test_typing_an_alternative_keeps_its_rest(start):
    one = start(Torn("alpha\n", "amber\n", "beta\n"))
    one.ask("x = |\n", trigger=Trigger.INVOKED)
    found = one.ask("x = a|\n", trigger=Trigger.INVOKED)
    assert (found.text, found.alternatives) == ("lpha", ("mber",))
    found = one.ask("x = am|\n")
    assert (found.text, found.timings.new_tokens) == ("ber", 0)


def test_while_typing_one_of_those_shown_by_hand_stays_offered(start):
    one = start(Torn("alpha\n", "amber\n", "beta\n"))
    one.ask("x = |\n", trigger=Trigger.INVOKED)
    for marked, rest in (("x = |\n", "alpha"), ("x = a|\n", "lpha"), ("x = am|\n", "ber")):
        found = one.ask(marked)
        assert (found.text, found.alternatives, found.timings.new_tokens) == (rest, (), 0)
    found = one.ask("x = |\n", trigger=Trigger.INVOKED)
    assert (found.text, *found.alternatives) == ("alpha", "amber", "beta"), "none is forgotten"


def test_by_hand_more_is_asked_for_than_was_shown_while_typing(start):
    one = start(Torn("alpha\n", "amber\n"))
    one.ask("x = |\n")
    assert one.ask("x = |\n", trigger=Trigger.INVOKED).alternatives == ("amber",)


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("x = f|()\n", None),  # brackets without the opening one are not the editor's
        ("x = f(|)\n", 'a["b"]'),
        ("x = f(a[|])\n", '"b"'),
        ('x = f(a["|"])\n', "b"),
    ],
)
def test_brackets_that_the_editor_closes_leave_the_rest_offered(start, typed, rest):
    one = start(PlantedDecoder('f(a["b"])\n'))
    assert one.ask("x = |\n").text == 'f(a["b"])'
    found = one.ask(typed)
    if rest is None:
        assert found.timings.new_tokens, "the model is asked"
    else:
        assert (found.text, found.timings.new_tokens) == (rest, 0)


def test_accepting_line_by_line_keeps_the_lines_below(start):
    one = start(PlantedDecoder("\n    a = 1\n    b = 2\n    return a\n\n"))
    assert one.ask("def f():|\n").text.endswith("return a")
    for marked, rest in (
        ("def f():\n    a = 1|\n", "\n    b = 2\n    return a"),
        ("def f():\n    a = 1\n    |\n", "b = 2\n    return a"),
    ):
        found = one.ask(marked)
        assert (found.text, found.timings.new_tokens) == (rest, 0)


def test_a_selected_item_is_replaced_to_its_end_behind_the_cursor(start):
    one = start(PlantedDecoder("(a)\n"))
    found = one.ask("x = ap|pnd\n", selected_text="append", selected_start=4, selected_end=9)
    assert (found.text, found.start, found.end) == ("append(a)", 4, 9)
