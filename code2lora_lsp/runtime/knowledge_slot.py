"""The one reference through which a repository's knowledge is published."""

import threading
from collections.abc import Callable

from code2lora_lsp.runtime.knowledge import Knowledge

HISTORY_LENGTH = 8
"""Kept for rolling back, the current one included."""

MOST_EARLIER_BYTES = 64_000_000
"""Of what is kept for rolling back. One commit is kept whatever its size."""


class KnowledgeSlot:
    """Holds the current knowledge of one repository and a few before it.

    The tracker writes; anyone reads. Readers see one whole value or the other: publishing is
    one assignment of one immutable value.
    """

    def __init__(self) -> None:
        self._history: tuple[Knowledge, ...] = ()
        self._is_provisional = False
        self._writing = threading.Lock()
        self._listeners: tuple[Callable[[], None], ...] = ()

    @property
    def current(self) -> Knowledge | None:
        """What is in force; ``None`` before anything was published."""
        history = self._history
        return history[-1] if history else None

    @property
    def previous(self) -> tuple[Knowledge, ...]:
        """What ``roll_back`` would go back to, newest last."""
        return self._history[:-1]

    def publish(self, knowledge: Knowledge, *, provisional: bool = False) -> None:
        """Make ``knowledge`` current. Listeners are told on this thread.

        A ``provisional`` one, on the way to the one that is wanted or of files not committed, is
        never rolled back to: the next one takes its place. Publishing the current one again only
        settles it.
        """
        with self._writing:
            is_new = not _is_same(self.current, knowledge)
            if is_new:
                kept = self._history[:-1] if self._is_provisional else self._history
                if kept and _is_same(kept[-1], knowledge):
                    kept = kept[:-1]
                self._history = _bounded((*kept, knowledge), least=3 if provisional else 2)
            else:  # what it says beside what completions know may be another
                self._history = (*self._history[:-1], knowledge)
            self._is_provisional = provisional
        if is_new:
            self._tell()

    def roll_back(self) -> Knowledge | None:
        """Drop the current one and go back to the one before it; ``None`` if there is none."""
        with self._writing:
            if len(self._history) < 2:
                return None
            self._history = self._history[:-1]
            self._is_provisional = False
            current = self._history[-1]
        self._tell()
        return current

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change; it must only hand over. Twice is once."""
        with self._writing:
            if listener not in self._listeners:
                self._listeners = (*self._listeners, listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Undo ``listen``."""
        with self._writing:
            self._listeners = tuple(kept for kept in self._listeners if kept != listener)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _bounded(history: tuple[Knowledge, ...], least: int) -> tuple[Knowledge, ...]:
    """As many of the newest as may be kept, ``least`` in any case: a table can be 100 MB large."""
    kept = history[-HISTORY_LENGTH:]
    while len(kept) > least and _size_bytes(kept) - _size_bytes(kept[-1:]) > MOST_EARLIER_BYTES:
        kept = kept[1:]
    return kept


def _size_bytes(history: tuple[Knowledge, ...]) -> int:
    """Together; what several share counts once."""
    return sum({part: size for one in history for part, size in one.sizes_bytes.items()}.values())


def _is_same(one: Knowledge | None, other: Knowledge) -> bool:
    return one is not None and one.knowledge_id == other.knowledge_id
