"""What is seen of a suggestion in the edits: all of it, a word, a line, or mere typing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code2lora_lsp.text.acceptance import Edit, Offer, Placed, Step, narrowed, step

CALL = Offer("total = ", "", "\n", "sum(prices)")


@pytest.mark.parametrize(
    ("document", "n_taken"),
    [
        ("total = \n", 0),
        ("total = s\n", 1),
        ("total = sum(prices)\n", 11),
        ("total = sum(prices) + 1\n", 11),
        ("total = max\n", None),
        ("totals = sum(prices)\n", None),
        ("total = sum(prices)", None),
        ("total =\n", None),
    ],
)
def test_what_is_in_place_is_read_from_the_document(document, n_taken):
    assert CALL.n_taken(document) == n_taken


def test_a_menu_item_that_the_offer_extends_is_there_from_the_beginning():
    offer = Offer("self.", "pri", "", "prices()")
    assert offer.n_given == offer.n_taken("self.pri") == 3
    assert offer.n_taken("self.prices()") == 8


def test_a_replacement_that_keeps_nothing_is_not_there_until_it_is_whole():
    offer = Offer("", "foo", ")", "bar(x")
    assert offer.n_taken("foo)") == 0
    assert offer.n_taken("bar(x)") == 5


@pytest.mark.parametrize(
    ("n_before", "n_after", "how"),
    [
        (0, 1, None),  # one key
        (0, 2, None),  # two keys in one edit: no word ends here
        (0, 6, Step.WORD),
        (6, 13, Step.WORD),
        (0, 21, Step.LINE),
        (0, 22, Step.LINE),
        (0, 30, Step.WHOLE),
        (28, 30, Step.WHOLE),
        (29, 30, None),  # the last character was typed
        (9, 4, None),  # undone
    ],
)
def test_how_it_came(n_before, n_after, how):
    text = "return [price for x ]\n    pass"
    assert len(text) == 30
    assert step(text, n_before, n_after, text[n_before:n_after]) is how


@pytest.mark.parametrize("inserted", ["()", "\n    ", "    ", '""', "x"])
def test_what_an_editor_types_by_itself_is_no_acceptance(inserted):
    text = f"a{inserted}"
    assert step(text, 1, len(text), inserted) is None


def test_closed_brackets_behind_what_is_typed_are_not_counted():
    assert CALL.n_taken("total = sum()\n") == len("sum(")
    assert Offer("", "", "", 'open("r")').n_taken('open("")') == len('open("')


def test_the_rest_of_an_offer_is_the_same_offer():
    def rest(before, text, after="\n"):
        return Offer(before, "", after, text).is_rest_of(CALL)

    assert rest("total = su", "m(prices)")
    assert rest("total = su", "m"), "shown less far"
    assert rest("total = su", "m(prices) + 1"), "shown further"
    assert rest("total = sum(", "prices", ")\n"), "the editor closed the bracket"
    assert not rest("total = su", "per()")
    assert not rest("total =", " sum(prices)")
    assert not rest("total = sum(", "prices", " + 1\n")


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_narrowed_edit_makes_one_text_of_the_other(before, after):
    edit = narrowed(before, after)
    assert before[: edit.start] + edit.text + before[edit.end :] == after


@given(st.text("ab\n", max_size=8), st.text("ab\n", max_size=8), st.text("ab", min_size=1))
def test_accepted_text_is_found_after_edits_around_it(above, typed, accepted):
    document, placed = above + accepted, Placed(len(above), accepted)
    document, placed = typed + document, placed.after(Edit(0, 0, typed))
    assert placed.is_kept_in(document)
    document += typed
    placed = placed.after(Edit(len(document) - len(typed), len(document) - len(typed), typed))
    assert placed.is_kept_in(document)
    removed = placed.after(Edit(placed.start, placed.start + len(accepted), ""))
    assert removed.start == placed.start
