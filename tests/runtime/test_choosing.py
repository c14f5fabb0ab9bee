"""What of a draft is shown: all of it, a beginning that is sure enough, or nothing and why."""

import math

import pytest

from code2lora_lsp.runtime.api import NoCompletion, Reason
from code2lora_lsp.runtime.choosing import Chooser, Draft
from code2lora_lsp.runtime.confidence import Calibration
from code2lora_lsp.text.gap import Gap

HERE = Gap("x = ", "\n")


def draft(*tokens, cut=False):
    """Tokens as (text, p); p ``None`` repeats what was typed."""
    text, ends = "", []
    for piece, _ in tokens:
        text += piece
        ends.append(len(text))
    log_ps = tuple(None if p is None else math.log(p) for _, p in tokens)
    return Draft(text, tuple(ends), log_ps, is_cut_short=cut)


def chosen(one, least=0.3, gap=HERE, *, by_hand=False):
    found = Chooser(Calibration(), least).choose(one, gap, is_asked_for=by_hand)
    return found.reason if isinstance(found, NoCompletion) else found.text


@pytest.mark.parametrize(
    ("p_name", "p_call", "p_argument", "shown"),
    [
        (0.9, 0.9, 0.9, "load(path)"),
        (0.9, 0.9, 0.1, "load("),
        (0.9, 0.1, 0.9, "load"),
        (0.1, 0.9, 0.9, Reason.LOW_CONFIDENCE),
    ],
)
def test_as_much_is_shown_as_is_sure_enough(p_name, p_call, p_argument, shown):
    one = draft(("load", p_name), ("(", p_call), ("path", p_argument), (")", 1.0), ("\n", 0.5))
    assert chosen(one) == shown
    assert chosen(one, by_hand=True) == "load(path)", "by hand all of it"


def test_in_front_of_code_it_is_the_whole_or_nothing():
    one = draft(("load", 0.9), ("(", 0.9), ("path", 0.1), (")", 1.0))
    assert chosen(one, gap=Gap("x = ", " + 1\n")) is Reason.LOW_CONFIDENCE


def test_in_front_of_a_bracket_that_closes_it_a_beginning_leaves_none_open():
    here = Gap("f(", ")\n")
    one = draft(("name", 0.9), (", ", 0.9), ("key", 0.1))
    assert chosen(one, gap=here) == "name"
    one = draft(("load", 0.9), ("(", 0.9), ("path", 0.9), (", ", 0.1), ("key)", 0.9))
    assert chosen(one, gap=here) == "load", "and the call's bracket is not closed by the other"


def test_of_several_lines_those_are_shown_that_are_sure():
    one = draft(("\n    a()", 0.9), ("\n    b()", 0.9), ("\n    c()", 0.1))
    assert chosen(one, gap=Gap("def f():", "\n", 8)) == "\n    a()\n    b()"


@pytest.mark.parametrize(
    ("p_second", "p_third", "n_lines"), [(0.9, 0.9, 3), (0.9, 0.1, 2), (0.1, 0.9, 1)]
)
def test_by_hand_the_line_comes_and_those_below_it_that_are_sure_if_it_is_right(
    p_second, p_third, n_lines
):
    one = draft(("1", 0.05), ("\ny = 2", p_second), ("\nz = 3", p_third))
    lines = ["1", "y = 2", "z = 3"]
    assert chosen(one, gap=Gap("x = ", "\n", 8), by_hand=True) == "\n".join(lines[:n_lines])


@pytest.mark.parametrize(("by_hand", "blank"), [(True, "\n"), (True, "\n    \n"), (False, "\n")])
def test_no_suggestion_ends_in_blank_lines(by_hand, blank):
    one = draft(("\n    x = 1", 0.9), ("\n", 1.0), (blank, 1.0), ("    return y", 0.05))
    assert chosen(one, gap=Gap("def f():", "\n", 8), by_hand=by_hand) == "\n    x = 1"


def test_blank_lines_between_sure_ones_stay():
    one = draft(("\n    x = 1", 0.9), ("\n\n", 1.0), ("    return y", 0.9))
    for by_hand in (True, False):
        shown = chosen(one, gap=Gap("def f():", "\n", 8), by_hand=by_hand)
        assert shown == "\n    x = 1\n\n    return y"


def test_a_line_that_a_budget_cut_is_left_out_if_another_stands_above_it():
    one = draft(("1\ny = some", 1.0), cut=True)
    assert chosen(one, gap=Gap("x = ", "\n", 8)) == "1"


def test_a_sign_alone_is_no_suggestion_in_place_of_a_line():
    assert chosen(draft(("(", 0.9), ("path", 0.1), (")", 1.0))) is Reason.LOW_CONFIDENCE


def test_what_only_repeats_the_typed_text_does_not_count():
    found = Chooser(Calibration(), 0.0).choose(
        draft(("", None), ("a", 0.5), ("b", 0.5)), HERE, is_asked_for=False
    )
    assert (found.text, found.confidence) == ("ab", pytest.approx(0.25))
    assert found.log_probability == pytest.approx(math.log(0.5))


def test_the_line_break_that_is_not_shown_does_not_count():
    found = Chooser(Calibration(), 0.5).choose(
        draft(("a", 0.6), ("\n", 0.01)), HERE, is_asked_for=False
    )
    assert found.confidence == pytest.approx(0.6)


@pytest.mark.parametrize(("text", "shown"), [("a.connec", "a."), ("a.b)", "a.b"), ("abc", "abc")])
def test_a_word_that_a_budget_cut_is_left_out(text, shown):
    one = draft((text, 1.0), cut=True)
    assert chosen(one) == shown
    assert chosen(draft((text, 1.0))) == ("a.b" if text == "a.b)" else text)


def test_nothing_has_its_reason():
    assert chosen(draft()) is Reason.EMPTY
    assert chosen(draft((" \n", 1.0))) is Reason.EMPTY
    assert chosen(draft(("\nx", 1.0))) is Reason.EMPTY
    assert chosen(draft((")", 1.0))) is Reason.FILTERED


def test_no_suggestion_ends_inside_a_string_it_begins():
    one = draft(("load", 0.99), ("(", 0.99), ('"', 0.99), ("name", 0.1), ('")', 1.0))
    assert chosen(one) == "load("


def test_white_space_before_giving_up_is_low_confidence_not_nothing():
    assert chosen(draft(("\n    ", 0.1), cut=True)) is Reason.LOW_CONFIDENCE
    assert chosen(draft(("\n    ", 0.1), cut=True), by_hand=True) is Reason.EMPTY


def test_what_falls_below_the_least_is_hopeless_for_good():
    chooser = Chooser(Calibration(), 0.3)
    assert not chooser.is_hopeless([None, math.log(0.5)])
    assert chooser.is_hopeless([None, math.log(0.5), math.log(0.5)])
