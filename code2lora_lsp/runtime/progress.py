"""Long work, reported: begun only once there is something to say, always ended."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from code2lora_lsp.runtime.api import Listener, ProgressBegan, ProgressEnded, ProgressMoved

Report = Callable[[str, int | None], None]


class Progress:
    """Turns nested reports into begin, move and end events with tokens of their own."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @contextmanager
    def task(self, title: str) -> Iterator[Report]:
        """Yield ``report(message, percentage)``; the first call begins the progress."""
        token: str | None = None

        def report(message: str, percentage: int | None) -> None:
            nonlocal token
            if token is None:
                with self._lock:
                    token = f"code2lora-{next(self._numbers)}"
                self._listener(ProgressBegan(token, title))
            self._listener(ProgressMoved(token, message, percentage))

        outcome = "stopped"
        try:
            yield report
            outcome = "done"
        finally:
            if token is not None:
                self._listener(ProgressEnded(token, outcome))


class LoadingProgress:
    """One task that a loader reports to by message and percentage, ended from outside."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self._open: tuple[ExitStack, Report] | None = None

    def report(self, message: str, percentage: int | None) -> None:
        """Begin if need be, then move."""
        if self._open is None:
            stack = ExitStack()
            self._open = stack, stack.enter_context(self._progress.task(self._title))
        self._open[1](message, percentage)

    def end(self) -> None:
        """End, if it ever began."""
        if self._open is not None:
            self._open[0].close()
            self._open = None
