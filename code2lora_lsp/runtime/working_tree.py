"""Which saved files may differ from HEAD, and what is in them now."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.secrets import is_secret_path

SETTLE_S = 0.5
"""Saves that follow one another this fast are read once: editors and formatters save twice."""

LARGEST_BYTES = 1_000_000
"""A larger file is not read; no recipe would take it."""

Stamp = tuple[int, int] | None
"""Time of change in nanoseconds and size; ``None`` where there is no regular file."""


class WorkingTree:
    """Files of one work tree that an editor saved.

    ``note`` may come from any thread; the rest belongs to the tracker's.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._lock = threading.Lock()
        self._saved: set[str] = set()
        self._saved_s = float("-inf")
        self._looked_at: dict[str, Stamp] = {}

    def note(self, path: Path) -> bool:
        """A file was saved; whether it is one that may be read."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._root):
            return False
        name = real.relative_to(self._root).as_posix()
        if is_secret_path(name):
            return False
        with self._lock:
            self._saved.add(name)
            self._saved_s = time.monotonic()
        return True

    @property
    def is_edited(self) -> bool:
        """Whether files differed when they were last looked at."""
        return bool(self._looked_at)

    def has_moved(self) -> bool:
        """Whether one of those files is another by now; a few stat calls."""
        return any(_stamp(self._root / name) != seen for name, seen in self._looked_at.items())

    def settle(self, cancellation: Cancellation) -> None:
        """Wait until nothing was saved for a moment.

        Raises:
            Cancelled: ``cancellation`` was set meanwhile.
        """
        while time.monotonic() < self._saved_s + SETTLE_S:
            cancellation.check()
            time.sleep(0.02)

    def contents(self) -> dict[str, bytes | None]:
        """Path → content of the files that may differ; ``None`` for one that is no file now."""
        with self._lock:
            names = self._saved | self._looked_at.keys()
            self._saved = set()
        # stamped before they are read: a change in between shows as moved
        self._looked_at = {name: _stamp(self._root / name) for name in names}
        return {name: _content(self._root / name, seen) for name, seen in self._looked_at.items()}

    def keep(self, paths: Iterable[str]) -> None:
        """Of the files just read only these differ; the others are forgotten."""
        wanted = set(paths)
        self._looked_at = {n: seen for n, seen in self._looked_at.items() if n in wanted}


def _stamp(path: Path) -> Stamp:
    try:
        if path.is_symlink() or not path.is_file():
            return None
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size


def _content(path: Path, seen: Stamp) -> bytes | None:
    if seen is None or seen[1] > LARGEST_BYTES:
        return None
    try:
        return path.read_bytes()
    except OSError:
        return None
