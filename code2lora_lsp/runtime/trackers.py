"""The trackers of all repositories that are followed, and the models they follow with."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.runtime.api import HistoryChanged, Listener, RepositoryStatus
from code2lora_lsp.runtime.commit_journal import CommitJournal
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.line_scoring import Score
from code2lora_lsp.runtime.progress import Progress
from code2lora_lsp.runtime.tracker import MODELS_NOT_LOADED, Tracker


class Trackers:
    """One tracker per repository, all with the same models. Any thread.

    ``_lock`` guards which trackers there are and what they were given.

    Args:
        settings: ``follow``.
        on_change: called after every change of a tracker's status; it must only hand over.
        progress: where long runs report.
        listener: told when a repository's journal changed.
        on_end: told of the slot of every tracker that was stopped.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[], None],
        progress: Progress,
        listener: Listener,
        on_end: Callable[[KnowledgeSlot], None],
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._progress = progress
        self._listener = listener
        self._on_end = on_end
        self._lock = threading.Lock()
        self._trackers: dict[Path, Tracker] = {}
        self._roots: set[Path] = set()
        self._score: Score | None = None
        self._is_closed = False
        self.models: Following | None = None
        self.why_none = MODELS_NOT_LOADED

    @property
    def statuses(self) -> tuple[RepositoryStatus, ...]:
        return tuple(tracker.status for tracker in list(self._trackers.values()))

    def at(self, root: Path) -> Tracker | None:
        """The tracker of a work tree."""
        return self._trackers.get(root)

    def holding(self, path: Path) -> Tracker | None:
        """The tracker of the innermost work tree that a file lies in."""
        roots = [root for root in list(self._trackers) if path.is_relative_to(root)]
        root = max(roots, key=lambda root: len(root.parts), default=None)
        return self._trackers.get(root) if root else None

    def open(self, root: Path) -> None:
        """Follow a repository, once following is on."""
        with self._lock:
            self._roots.add(root)
            self._track(root)

    def close(self, root: Path) -> bool:
        """Follow a repository no longer; whether it was followed."""
        with self._lock:
            self._roots.discard(root)
            tracker = self._trackers.pop(root, None)
        if tracker is not None:
            self.stop([tracker])
        return tracker is not None

    def attach(self, models: Following | None, why_none: str, score: Score | None) -> None:
        """Give every tracker, and those to come, these models; see ``Tracker.attach``."""
        with self._lock:
            self.models, self.why_none, self._score = models, why_none, score
            for tracker in self._trackers.values():
                tracker.attach(models, why_none, score)

    def reopen(self, settings: Settings) -> None:
        """Follow the same repositories with other settings."""
        with self._lock:
            self._settings = settings
            trackers = self._taken()
        self.stop(trackers)
        with self._lock:
            for root in self._roots:
                self._track(root)

    def end(self) -> list[Tracker]:
        """Follow none from here on; the trackers there were, to be stopped."""
        with self._lock:
            self._is_closed = True
            return self._taken()

    def stop(self, trackers: Sequence[Tracker], timeout_s: float = 2.0) -> bool:
        """End trackers, all at once; whether their threads have ended."""
        for tracker in trackers:
            tracker.begin_close()
        until_s = time.monotonic() + timeout_s
        ended = [tracker.close(max(0.0, until_s - time.monotonic())) for tracker in trackers]
        for tracker in trackers:
            self._on_end(tracker.slot)
        return all(ended)

    def _taken(self) -> list[Tracker]:
        trackers = list(self._trackers.values())
        self._trackers.clear()
        return trackers

    def _track(self, root: Path) -> None:
        if root in self._trackers or self._is_closed or not self._settings.follow.enabled:
            return
        journal = CommitJournal(
            state_root(self._settings),
            root,
            lambda commit: self._listener(HistoryChanged(str(root), commit)),
        )
        tracker = Tracker(
            root, self._settings.follow, KnowledgeSlot(), self._on_change, self._progress, journal
        )
        self._trackers[root] = tracker
        tracker.start()
        tracker.attach(self.models, self.why_none, self._score)
