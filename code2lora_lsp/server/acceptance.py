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
    """Watches the offers of open documents, one for each.

    Args:
        text_of: a document's key → its text now; ``None`` if it is not open.
        clock: monotonic seconds.
    """

    def __init__(
        self, text_of: Callable[[str], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._text_of, self._clock = text_of, clock
        self._ids = count(1)
        self._open: dict[str, _Open] = {}
        self._remembered: dict[str, bool] = {}
        self._watched: dict[str, _Watched] = {}
        self._counts = AcceptanceCounts()

    def offered(self, document: str, offer: Offer) -> str:
        """An item is about to be answered with; its id. The rest of the last one keeps that one's.

        What no editor shows, as the answer came too late, never comes here.
        """
        last = self._open.get(document)
        if last is not None and offer.is_rest_of(last.offer):
            return last.offer_id
        offer_id = str(next(self._ids))
        self._open[document] = _Open(offer_id, offer, offer.n_given)
        _put(self._remembered, offer_id, value=False, most=MOST_REMEMBERED)
        self._count(AcceptanceCounts(shown=1))
        return offer_id

    def watches(self, document: str) -> bool:
        """Whether ``changed`` needs to be told of edits of a document."""
        return document in self._open or any(
            one.document == document for one in self._watched.values()
        )

    def changed(self, document: str, edit: Edit, text: str) -> None:
        """One edit was made; ``text`` is the document after it."""
        for offer_id, one in list(self._watched.items()):
            if one.document == document:
                self._watched[offer_id] = replace(one, placed=one.placed.after(edit))
        now = self._open.get(document)
        if now is None:
            return
        n_taken = now.offer.n_taken(text)
        if n_taken is None:
            del self._open[document]
            return
        how = step(now.offer.text, now.n_taken, n_taken)
        first = now.n_taken if how and now.first is None else now.first
        self._open[document] = now = replace(now, n_taken=n_taken, first=first)
        if how is Step.WHOLE:
            self._accept_whole(document, now)
        elif how is not None:
            self._count(_ONE[how])
            self._watch(document, now)

    def accepted(self, offer_id: str) -> None:
        """The editor says so; once for each offer, whatever was seen in the edits before."""
        if self._remembered.get(offer_id, True):
            return
        for document, one in list(self._open.items()):
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


def _put(known: dict[str, T], key: str, value: T, *, most: int) -> None:
    """The newest last, and no more than ``most``."""
    known.pop(key, None)
    known[key] = value
    while len(known) > most:
        del known[next(iter(known))]
