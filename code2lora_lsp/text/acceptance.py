r"""How much of a suggestion is in its document, and how it came there. Pure functions of strings.

No editor tells a server that a word of its suggestion was accepted. It is seen in the edits: typing
brings one character at a time, accepting a word, a line or all of it brings several at once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

LEAST_CHARS = 2
"""Besides white space, which editors type by themselves; one character may have been typed."""

_PAIRS = ("()", "[]", "{}", '""', "''", "``")
_CLOSED_BY_EDITOR = re.compile(r"[)\]}\"'`]{1,3}")


class Step(Enum):
    """What one edit brought of a suggestion."""

    WORD = "word"
    LINE = "line"
    WHOLE = "whole"


@dataclass(frozen=True)
class Edit:
    """``text`` in place of the code points from ``start`` to ``end`` of a document."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Offer:
    """A suggestion, and the document it was made for.

    Attributes:
        before, replaced, after: the document; ``text`` is to take the place of ``replaced``.
    """

    before: str
    replaced: str
    after: str
    text: str

    @property
    def n_given(self) -> int:
        """Characters of ``text`` that were there when it was offered."""
        return len(self.replaced) if self.text.startswith(self.replaced) else 0

    def n_taken(self, document: str) -> int | None:
        """Characters of ``text`` that are in place; ``None`` once the document went another way.

        What was typed right behind the whole of it does not undo it.
        """
        if not (document.startswith(self.before) and document.endswith(self.after)):
            return None
        end = len(document) - len(self.after)
        if end < len(self.before):
            return None
        middle = document[len(self.before) : end]
        if middle == self.replaced:
            return self.n_given
        if middle.startswith(self.text):
            return len(self.text)
        taken = next(
            (part for part in _without_closers(middle) if self.text.startswith(part)), None
        )
        return None if taken is None else len(taken)

    def is_rest_of(self, older: "Offer") -> bool:
        """Whether this is what is left of an older offer: maybe less of it, maybe more.

        How far a suggestion is shown may change while it is typed, and the editor may have closed
        brackets behind it. In a menu it begins where the word does.
        """
        there = self.before + self.text[: self.n_given]
        before, now = older.before + older.text, self.before + self.text
        come = self.after.removesuffix(older.after)
        return (
            (before.startswith(now) or now.startswith(before))
            and there.startswith(older.before)
            and self.after.endswith(older.after)
            and (not come or _CLOSED_BY_EDITOR.fullmatch(come) is not None)
        )


def _without_closers(middle: str) -> Iterator[str]:
    """A text, and what it is without brackets and quotes that the editor closed."""
    yield middle
    for n_closers in (1, 2, 3):
        if _CLOSED_BY_EDITOR.fullmatch(middle[-n_closers:]) and len(middle) > n_closers:
            yield middle[:-n_closers]


def step(text: str, n_before: int, n_after: int, inserted: str) -> Step | None:
    """What brought an offer from ``n_before`` to ``n_after`` characters; ``None`` is typing.

    A word counts when the edit ends where a word ends: an editor may gather a few key strokes into
    one edit, and these end anywhere.

    Args:
        text: the offer's.
        n_before: in place before the edit.
        n_after: in place after it.
        inserted: by the edit.
    """
    is_typed = len(inserted.strip()) < LEAST_CHARS or inserted in _PAIRS
    if is_typed or n_after <= n_before:
        return None
    if n_after == len(text):
        return Step.WHOLE
    last, following = text[n_after - 1], text[n_after]
    if last in "\r\n" or following in "\r\n":
        return Step.LINE
    return None if _is_of_word(last) and _is_of_word(following) else Step.WORD


def _is_of_word(char: str) -> bool:
    return char.isalnum() or char == "_"


@dataclass(frozen=True)
class Placed:
    """Accepted text at its place in a document."""

    start: int
    text: str

    def after(self, edit: Edit) -> "Placed":
        """Where it is after an edit; an edit inside leaves its beginning where it was."""
        if edit.end > self.start:
            return self
        return replace(self, start=self.start + len(edit.text) - (edit.end - edit.start))

    def is_kept_in(self, document: str) -> bool:
        """Whether it is there unchanged."""
        return document.startswith(self.text, self.start)


def narrowed(before: str, after: str) -> Edit:
    """The smallest edit between two texts, for a client that sent a whole document."""
    n_same = _n_common(before, after)
    longest = min(len(before), len(after)) - n_same
    n_same_end = _n_common(before[n_same:][::-1], after[n_same:][::-1], longest)
    return Edit(n_same, len(before) - n_same_end, after[n_same : len(after) - n_same_end])


def _n_common(one: str, other: str, longest: int | None = None) -> int:
    """Characters with which both begin, found by halving."""
    low, high = 0, min(len(one), len(other)) if longest is None else longest
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
