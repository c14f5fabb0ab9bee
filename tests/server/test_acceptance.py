"""Shown, accepted and kept, as seen in one document's edits, with a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code2lora_lsp.runtime.acceptance_counts import AcceptanceCounts
from code2lora_lsp.server.acceptance import KEPT_AFTER_S, MOST_WATCHED, Acceptance
from code2lora_lsp.text.acceptance import Edit, Offer
from tests.fakes import Clock

ASKED = "def total(prices):\n    return \n"
CURSOR = ASKED.index("return ") + len("return ")
TEXT = "sum(price.net for price in prices)"


class Editor:
    """One document whose edits are seen."""

    def __init__(self, text=ASKED):
        self.text, self.clock = text, Clock()
        self.acceptance = Acceptance(lambda _: self.text, self.clock)

    def offer(self, *texts, at=CURSOR):
        offers = [Offer(self.text[:at], "", self.text[at:], text) for text in texts or (TEXT,)]
        return self.acceptance.offered("a.py", *offers)[0]

    def edit(self, at, text, n_removed=0):
        self.text = self.text[:at] + text + self.text[at + n_removed :]
        self.acceptance.changed("a.py", text, Edit(at, at + n_removed, text), self.text)

    def wait(self, seconds=KEPT_AFTER_S):
        self.clock.now_s += seconds
        self.acceptance.judge()
        return self.counts()

    def counts(self):
        return self.acceptance.counts


@pytest.fixture
def editor():
    return Editor()


def test_one_insertion_of_all_of_it_is_an_acceptance(editor):
    editor.offer()
    editor.edit(CURSOR, TEXT)
    assert editor.counts() == AcceptanceCounts(shown=1, accepted=1)


def test_the_command_behind_the_insertion_does_not_count_twice(editor):
    offer_id = editor.offer()
    editor.edit(CURSOR, TEXT)
    editor.acceptance.accepted(offer_id)
    editor.acceptance.accepted(offer_id)
    assert editor.counts().accepted == 1


def test_the_command_counts_where_the_edit_did_not_tell(editor):
    offer_id = editor.offer()
    for at, char in enumerate(TEXT[:-1]):
        editor.edit(CURSOR + at, char)
    assert editor.counts().accepted == 0
    editor.acceptance.accepted(offer_id)
    editor.edit(CURSOR + len(TEXT) - 1, TEXT[-1])
    assert editor.counts().accepted == 1


def test_a_command_with_an_unknown_id_counts_nothing(editor):
    editor.offer()
    editor.acceptance.accepted("none of ours")
    assert editor.counts() == AcceptanceCounts(shown=1)


def test_words_count_one_by_one_and_the_last_one_is_the_whole(editor):
    editor.offer()
    for at, word in ((0, "sum"), (3, "(price"), (9, ".net"), (13, TEXT[13:])):
        editor.edit(CURSOR + at, word)
    assert editor.counts() == AcceptanceCounts(shown=1, accepted=1, accepted_words=3)


def test_a_line_of_several_counts_as_a_line(editor):
    editor.offer("prices[0]\n    return None\n")
    editor.edit(CURSOR, "prices[0]")
    assert editor.counts() == AcceptanceCounts(shown=1, accepted_lines=1)


def test_typing_through_is_no_acceptance_and_shows_nothing_new(editor):
    first = editor.offer()
    for at, char in enumerate(TEXT):
        editor.edit(CURSOR + at, char)
        if at + 1 < len(TEXT):
            assert editor.offer(TEXT[at + 1 :], at=CURSOR + at + 1) == first
    assert editor.counts() == AcceptanceCounts(shown=1)
    assert editor.wait() == AcceptanceCounts(shown=1)


def test_a_suggestion_shown_further_while_it_is_typed_is_the_same_one(editor):
    first = editor.offer("sum(price")
    editor.edit(CURSOR, "s")
    assert editor.offer("um(price.net for price in prices)", at=CURSOR + 1) == first
    editor.edit(CURSOR + 1, TEXT[1:])
    assert editor.counts() == AcceptanceCounts(shown=1, accepted=1)


def test_brackets_that_the_editor_closes_are_typing(editor):
    first = editor.offer("print()")
    for at, char in enumerate("print"):
        editor.edit(CURSOR + at, char)
    editor.edit(CURSOR + 5, "()")
    assert editor.counts() == AcceptanceCounts(shown=1)
    assert first == "1"


def test_what_is_left_inside_closed_brackets_is_the_same_suggestion(editor):
    first = editor.offer("sum(prices)")
    for at, char in enumerate("sum"):
        editor.edit(CURSOR + at, char)
    editor.edit(CURSOR + 3, "()")
    assert editor.offer("prices", at=CURSOR + 4) == first
    editor.edit(CURSOR + 4, "prices")
    assert editor.counts() == AcceptanceCounts(shown=1, accepted=1)
    assert editor.wait().kept == 1


def test_the_last_character_before_a_closed_bracket_is_typing(editor):
    editor.offer("sum(x)")
    for at, char in enumerate("sum"):
        editor.edit(CURSOR + at, char)
    editor.edit(CURSOR + 3, "()")
    editor.edit(CURSOR + 4, "x")
    assert editor.counts() == AcceptanceCounts(shown=1)


def test_a_new_line_with_its_indentation_is_typing(editor):
    editor.offer("\n        price\n")
    editor.edit(CURSOR, "\n        ")
    assert editor.counts() == AcceptanceCounts(shown=1)


def test_typing_something_else_lets_the_offer_go(editor):
    editor.offer()
    editor.edit(CURSOR, "m")
    editor.edit(CURSOR, "", n_removed=1)
    editor.edit(CURSOR, TEXT)
    assert editor.counts() == AcceptanceCounts(shown=1)


def test_another_offer_is_shown_anew(editor):
    editor.offer()
    editor.offer("max(prices)")
    assert editor.counts().shown == 2


def test_alternatives_are_shown_as_one_and_any_can_be_accepted(editor):
    editor.offer("sum(prices)", "sum(prices) + 1", "max(prices)")
    editor.edit(CURSOR, "max(prices)")
    assert editor.counts() == AcceptanceCounts(shown=1, accepted=1)
    assert editor.wait().kept == 1


def test_an_alternative_that_is_whole_counts_before_a_longer_one_begun(editor):
    editor.offer("sum(prices)\n    more()", "sum(prices)")
    editor.edit(CURSOR, "sum(prices)")
    assert editor.counts() == AcceptanceCounts(shown=1, accepted=1)


def test_what_several_begin_with_is_one_word(editor):
    editor.offer("sum(prices)", "sum(costs)")
    editor.edit(CURSOR, "sum")
    assert editor.counts() == AcceptanceCounts(shown=1, accepted_words=1)


def test_what_still_stands_after_thirty_seconds_is_kept(editor):
    editor.offer()
    editor.edit(CURSOR, TEXT)
    editor.edit(0, "import os\n\n\n")
    editor.edit(len(editor.text), "\n\nprint(total([]))\n")
    assert editor.wait(KEPT_AFTER_S - 1).judged == 0
    counts = editor.wait(1)
    assert (counts.judged, counts.kept) == (1, 1)


def test_what_was_undone_is_not_kept(editor):
    editor.offer()
    editor.edit(CURSOR, TEXT)
    editor.edit(CURSOR, "", n_removed=len(TEXT))
    counts = editor.wait()
    assert (counts.accepted, counts.judged, counts.kept) == (1, 1, 0)


def test_what_was_changed_is_not_kept_unless_it_is_changed_back(editor):
    editor.offer()
    editor.edit(CURSOR, TEXT)
    at = editor.text.index("net")
    editor.edit(at, "gross", n_removed=3)
    other = Editor()
    other.offer()
    other.edit(CURSOR, TEXT)
    other.edit(at, "gross", n_removed=3)
    other.edit(at, "net", n_removed=5)
    assert (editor.wait().kept, other.wait().kept) == (0, 1)


def test_a_word_accepted_and_then_another_way_is_judged_as_that_word(editor):
    editor.offer()
    editor.edit(CURSOR, "sum")
    editor.edit(CURSOR + 3, "_of(prices)")
    counts = editor.wait()
    assert (counts.accepted, counts.accepted_words, counts.kept) == (0, 1, 1)


def test_thirty_seconds_begin_with_the_last_part_accepted(editor):
    editor.offer()
    editor.edit(CURSOR, "sum")
    editor.wait(20)
    editor.edit(CURSOR + 3, "(price")
    assert editor.wait(20).judged == 0
    assert editor.wait(10).judged == 1


def test_closing_a_document_judges_what_is_watched_in_it(editor):
    editor.offer()
    editor.edit(CURSOR, TEXT)
    editor.acceptance.closed("a.py", editor.text)
    assert (editor.counts().judged, editor.counts().kept) == (1, 1)
    assert not editor.acceptance.has_accepted("a.py")
    assert not editor.acceptance.has_offered("a.py")
    assert editor.acceptance.next_due_s is None


def test_what_was_taken_to_be_stored_is_counted_once(editor):
    editor.offer()
    taken = editor.acceptance.take()
    assert (taken.shown, editor.counts().shown) == (1, 0)
    editor.acceptance.give_back(taken)
    assert editor.counts().shown == 1


def test_no_more_than_a_few_acceptances_are_watched_at_once():
    editor = Editor("")
    for _ in range(MOST_WATCHED + 20):
        at = len(editor.text)
        editor.offer("again(1)\n", at=at)
        editor.edit(at, "again(1)\n")
    assert editor.wait().judged == MOST_WATCHED


SENTENCE = "price for price in prices"


@given(st.lists(st.sampled_from(["key", "word", "whole", "undo", "above", "below"]), max_size=12))
def test_whatever_order_things_happen_in_what_was_done_is_what_is_counted(actions):
    """One suggestion, asked for again after every edit, as editors do."""
    editor, at, left = Editor(), CURSOR, SENTENCE
    words = whole = 0
    editor.offer(SENTENCE, at=at)
    for action in actions:
        if action == "above":
            editor.edit(0, "import os\n")
            at += len("import os\n")
        elif action == "below":
            editor.edit(len(editor.text), "pass\n")
        elif action == "undo":
            n_taken = len(SENTENCE) - len(left)
            editor.edit(at - n_taken, "", n_removed=n_taken)
            at, left = at - n_taken, SENTENCE
        elif left:
            word = left[: left.find(" ") + 1 or len(left)].rstrip(" ") or " "
            text = {"key": left[0], "word": word, "whole": left}[action]
            words += len(text) > 1 and text != left
            whole += len(text) > 1 and text == left
            editor.edit(at, text)
            at, left = at + len(text), left[len(text) :]
        if left:
            editor.offer(left, at=at)
    counts = editor.counts()
    assert (counts.accepted, counts.accepted_words) == (whole, words)
    counts = editor.wait()
    assert counts.kept <= counts.judged <= whole + words
    if "undo" not in actions:
        assert counts.kept == counts.judged
