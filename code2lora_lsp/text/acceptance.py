r"""How much of a suggestion is in its document, and how it came there. Pure functions of strings.

No editor tells a server that a word of its suggestion was accepted. It is seen in the edits: typing
brings one character at a time, accepting a word, a line or all of it brings several at once.
"""

from dataclasses import dataclass, replace
from enum import Enum

LEAST_CHARS = 2
"""One character alone may as well have been typed."""


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
        return len(middle) if self.text.startswith(middle) else None

    def continued(self, older: "Offer") -> "Offer | None":
        """An older offer as it goes on now, if this is what is left of it: maybe less, maybe more.

        How far a suggestion is shown may change while it is typed.
        """
        before, now = older.before + older.text, self.before + self.text
        is_same = before.startswith(now) or now.startswith(before)
        if not (is_same and self.before.startswith(older.before) and older.after == self.after):
            return None
        return replace(older, text=now[len(older.before) :])


def step(text: str, n_before: int, n_after: int) -> Step | None:
    """What brought an offer from ``n_before`` to ``n_after`` characters; ``None`` is typing.

    A word counts when the edit ends where a word ends: an editor may gather a few key strokes into
    one edit, and these end anywhere.
    """
    if n_after - n_before < LEAST_CHARS:
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
