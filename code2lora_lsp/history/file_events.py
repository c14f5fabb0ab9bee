"""File events of a git directory, narrowed to what can mean that HEAD moved."""

import os
from collections.abc import Callable
from pathlib import Path, PurePath

from watchdog.events import (
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

PROBE_NAME = "code2lora-lsp-probe"
_REF_FILES = frozenset({"HEAD", "packed-refs", "tables.list"})
_EVENT_TYPES: list[type[FileSystemEvent]] = [
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Opening and closing are left out: git reads (ours too) would otherwise feed the watcher."""


class FileEvents:
    """A started observer. ``on_event`` gets each path that matters, on the observer's thread."""

    def __init__(
        self, git_dir: Path, common_dir: Path, on_event: Callable[[PurePath], None]
    ) -> None:
        self._handler = _Handler(common_dir / "refs", on_event)
        self._folders = _folders(git_dir, common_dir)
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin to observe.

        Raises:
            OSError: the system's limit of watches is reached, or the folder is gone.
        """
        observer = Observer()
        try:
            for folder, recursive in self._folders:
                observer.schedule(
                    self._handler, str(folder), recursive=recursive, event_filter=_EVENT_TYPES
                )
            observer.start()
        except BaseException:
            observer.stop()
            raise
        self._observer = observer

    def stop(self) -> None:
        """Stop observing and wait for its threads."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()

    @property
    def is_alive(self) -> bool:
        """Whether every thread of the observer still runs."""
        observer = self._observer
        if observer is None or not observer.is_alive():
            return False
        return all(emitter.is_alive() for emitter in observer.emitters)


class _Handler(FileSystemEventHandler):
    def __init__(self, refs: Path, on_event: Callable[[PurePath], None]) -> None:
        self._refs = refs
        self._on_event = on_event

    def on_any_event(self, event: FileSystemEvent) -> None:
        for written in (event.src_path, event.dest_path):
            path = PurePath(os.fsdecode(written))
            if written and self._matters(path):
                self._on_event(path)

    def _matters(self, path: PurePath) -> bool:
        """A ref, a log of HEAD or our probe; never a lock, which comes before the change."""
        if path.suffix == ".lock":
            return False
        return path.name in _REF_FILES or path.name == PROBE_NAME or self._refs in path.parents


def _folders(git_dir: Path, common_dir: Path) -> list[tuple[Path, bool]]:
    """Folders to watch, and whether with all below them. The work tree is never among them."""
    wanted = [
        (git_dir, False),
        (common_dir, False),
        (git_dir / "logs", False),
        (common_dir / "reftable", False),
        (git_dir / "reftable", False),
        (common_dir / "refs" / "heads", True),
    ]
    return [(folder, below) for folder, below in dict.fromkeys(wanted) if folder.is_dir()]
