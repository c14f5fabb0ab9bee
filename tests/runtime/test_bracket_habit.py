"""From two requests it is seen whether the editor closes brackets."""

import pytest

from code2lora_lsp.runtime.bracket_habit import BracketHabit, Place


def seen(*texts, uris=("a", "a", "a")):
    habit = BracketHabit()
    for uri, (before, after) in zip(uris, texts, strict=False):
        habit.saw(Place(uri, None, before, after))
    return habit.next_place


@pytest.mark.parametrize("pair", ["()", "[]", "{}"])
def test_a_bracket_that_was_closed_makes_the_next_one_expected(pair):
    opener, closer = pair
    place = seen(("f", "\n"), (f"f{opener}", f"{closer}\n"))
    assert (place.before, place.after) == (f"f{opener}", f"){closer}\n")


@pytest.mark.parametrize(
    "texts",
    [
        [("f", "\n")],
        [("f", "\n"), ("f(", "\n")],
        [("f", "\n"), ("f(", "]\n")],
        [("f", "\n"), ("f(a", ")\n")],
        [("f", "\n"), ("g(", ")\n")],
        [("f", "\n"), ("f'", "'\n")],
    ],
)
def test_nothing_is_expected_from_anything_else(texts):
    assert seen(*texts) is None


def test_what_another_document_does_says_nothing():
    assert seen(("f", "\n"), ("f(", ")\n"), uris=("a", "b")) is None


def test_a_bracket_that_stays_open_ends_the_habit():
    closed = [("f", "\n"), ("f(", ")\n")]
    assert seen(*closed, ("f((", "))\n")) is not None
    assert seen(*closed, ("f((", ")\n")) is None
