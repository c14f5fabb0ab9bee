"""One flag and one clock, handed down to whatever may have to stop early."""

import threading
import time


class Cancelled(Exception):
    """Raised at a check point after ``Cancellation.cancel``; carries the reason."""


class Cancellation:
    """A flag that any thread may set and the working thread reads at its check points."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = ""

    def cancel(self, reason: str) -> None:
        """Ask the worker to stop. The first reason given is kept."""
        if not self._event.is_set():
            self._reason = reason
            self._event.set()

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    @property
    def reason(self) -> str:
        return self._reason

    def check(self) -> None:
        """Raise ``Cancelled`` once ``cancel`` was called."""
        if self._event.is_set():
            raise Cancelled(self._reason)


class Deadline:
    """A point on the monotonic clock; ``Deadline(None)`` never passes."""

    def __init__(self, budget_s: float | None) -> None:
        self._at_s = None if budget_s is None else time.monotonic() + budget_s

    @property
    def has_passed(self) -> bool:
        return self._at_s is not None and time.monotonic() >= self._at_s
