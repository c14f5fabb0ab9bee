"""What becomes of the suggestions of one connection: shown, accepted, kept. On the event loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from code2lora_lsp.runtime.acceptance_counts import AcceptanceCounts
from code2lora_lsp.text.acceptance import Edit, Offer, Placed, Step, step

T = TypeVar("T")

KEPT_AFTER_S = 30.0
MOST_WATCHED = 64
MOST_REMEMBERED = 64

_ONE = {
    Step.WHOLE: AcceptanceCounts(accepted=1),
    Step.LINE: AcceptanceCounts(accepted_lines=1),
    Step.WORD: AcceptanceCounts(accepted_words=1),
}


@dataclass(frozen=True)
class _Open:
    """An offer the user may still take, of which ``n_taken`` characters are in the document.

    ``first`` is where the first accepted character stands in it; ``None`` while all was typed.
    """

    offer_id: str
    offer: Offer
    n_taken: int
    first: int | None = None


@dataclass(frozen=True)
class _Watched:
    """Accepted text that is looked for at ``due_s``."""

    document: str
    placed: Placed
    due_s: float


class Acceptance:
    """Watches the last answer in every open document: one offer, or that and its alternatives.

    Args:
        text_of: a document's key → its text now; ``None`` if it is not open.
        clock: monotonic seconds.
    """

    def __init__(
        self, text_of: Callable[[str], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._text_of, self._clock = text_of, clock
        self._ids = count(1)
        self._open: dict[str, tuple[_Open, ...]] = {}
        self._remembered: dict[str, bool] = {}
        self._watched: dict[str, _Watched] = {}
        self._counts = AcceptanceCounts()

    def offered(self, document: str, *offers: Offer) -> list[str]:
        """Items are about to be answered with; their ids. The rest of an open one keeps its id.

        What no editor shows, as the answer came too late, never comes here. Alternatives are
        shown as one.
        """
        before = self._open.get(document, ())
        now = [_known(before, offer) or self._new(offer) for offer in offers]
        self._open[document] = tuple(now)
        if all(now[0].offer_id != one.offer_id for one in before):
            self._count(AcceptanceCounts(shown=1))
        return [one.offer_id for one in now]

    def has_offered(self, document: str) -> bool:
        """Whether some of an offer may still be taken: edits of the document have to be told."""
        return document in self._open

    def has_accepted(self, document: str) -> bool:
        """Whether accepted text is watched in it: edits have to be told with their place."""
        return any(one.document == document for one in self._watched.values())

    def changed(self, document: str, inserted: str, edit: Edit | None, text: str) -> None:
        """One edit was made.

        Args:
            document: its key.
            inserted: what the edit brought.
            edit: with its place, where ``has_accepted`` says so.
            text: the document after it.
        """
        for offer_id, seen in list(self._watched.items()):
            if edit is not None and seen.document == document:
                self._watched[offer_id] = replace(seen, placed=seen.placed.after(edit))
        moved = [_moved(one, inserted, text) for one in self._open.pop(document, ())]
        left = list(filter(None, moved))
        if not left:
            return
        self._open[document] = tuple(one for one, _ in left)
        taken = [(one, how) for one, how in left if how is not None]
        for one, how in sorted(taken, key=lambda pair: pair[1] is not Step.WHOLE)[:1]:
            if how is Step.WHOLE:
                self._accept_whole(document, one)
            else:
                self._count(_ONE[how])
                self._watch(document, one)

    def accepted(self, offer_id: str) -> None:
        """The editor says so; once for each offer, whatever was seen in the edits before."""
        if self._remembered.get(offer_id, True):
            return
        for document, offers in list(self._open.items()):
            for one in offers:
                if one.offer_id == offer_id:
                    taken = replace(one, n_taken=len(one.offer.text), first=one.first or 0)
                    self._accept_whole(document, taken)
                    return
        self._remembered[offer_id] = True
        self._count(_ONE[Step.WHOLE])

    def closed(self, document: str, text: str) -> None:
        """The document was closed with this text: what is watched in it is judged now."""
        self._open.pop(document, None)
        for offer_id, one in list(self._watched.items()):
            if one.document == document:
                self._judge(offer_id, text)

    def judge(self) -> None:
        """Look for accepted text whose time has come."""
        now_s = self._clock()
        for offer_id, one in list(self._watched.items()):
            if one.due_s <= now_s:
                self._judge(offer_id, self._text_of(one.document) or "")

    @property
    def next_due_s(self) -> float | None:
        """Seconds until ``judge`` has something to do; ``None`` while nothing is watched."""
        due_s = min((one.due_s for one in self._watched.values()), default=None)
        return None if due_s is None else max(0.0, due_s - self._clock())

    def take(self) -> AcceptanceCounts:
        """What was counted since this was asked last."""
        counts, self._counts = self._counts, AcceptanceCounts()
        return counts

    def give_back(self, counts: AcceptanceCounts) -> None:
        """Undo ``take``: they could not be stored."""
        self._count(counts)

    @property
    def counts(self) -> AcceptanceCounts:
        """What was counted and not taken yet."""
        return self._counts

    def _new(self, offer: Offer) -> _Open:
        offer_id = str(next(self._ids))
        _put(self._remembered, offer_id, value=False, most=MOST_REMEMBERED)
        return _Open(offer_id, offer, offer.n_given)

    def _accept_whole(self, document: str, one: _Open) -> None:
        del self._open[document]
        if not self._remembered.get(one.offer_id, False):
            self._remembered[one.offer_id] = True
            self._count(_ONE[Step.WHOLE])
            self._watch(document, one)

    def _watch(self, document: str, one: _Open) -> None:
        first = one.first or 0
        placed = Placed(len(one.offer.before) + first, one.offer.text[first : one.n_taken])
        watched = _Watched(document, placed, self._clock() + KEPT_AFTER_S)
        _put(self._watched, one.offer_id, watched, most=MOST_WATCHED)

    def _judge(self, offer_id: str, text: str) -> None:
        is_kept = self._watched.pop(offer_id).placed.is_kept_in(text)
        self._count(AcceptanceCounts(judged=1, kept=int(is_kept)))

    def _count(self, more: AcceptanceCounts) -> None:
        self._counts = self._counts + more


def _known(before: tuple[_Open, ...], offer: Offer) -> _Open | None:
    """The open offer of which this is the rest, as it is now."""
    one = next((one for one in before if offer.is_rest_of(one.offer)), None)
    if one is None:
        return None
    if one.offer.after != offer.after:  # the editor closed brackets: what is left is on its own
        return _Open(one.offer_id, offer, offer.n_given)
    text = (offer.before + offer.text)[len(one.offer.before) :]
    return replace(one, offer=replace(one.offer, text=text))


def _moved(one: _Open, inserted: str, text: str) -> tuple[_Open, Step | None] | None:
    """The offer after an edit, and what that brought of it; ``None`` if it is gone."""
    n_taken = one.offer.n_taken(text)
    if n_taken is None:
        return None
    how = step(one.offer.text, one.n_taken, n_taken, inserted)
    first = one.n_taken if how and one.first is None else one.first
    return replace(one, n_taken=n_taken, first=first), how


def _put(known: dict[str, T], key: str, value: T, *, most: int) -> None:
    """The newest last, and no more than ``most``."""
    known.pop(key, None)
    known[key] = value
    while len(known) > most:
        del known[next(iter(known))]
