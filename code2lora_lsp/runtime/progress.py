"""Long work, reported: begun only once there is something to say, always ended."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
