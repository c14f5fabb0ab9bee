"""A cancellation whose check points also make way for completions."""

import threading
import time
from collections.abc import Callable

from code2lora_lsp.cancellation import Cancellation


class Polite(Cancellation):
    """Steps aside at every check point while a completion is being decoded.

    Args:
        is_busy: whether one is; ``None`` where there is no engine.
        closed: set when the worker is to end.
    """

    LONGEST_WAIT_S = 1.0

    def __init__(self, is_busy: Callable[[], bool] | None, closed: threading.Event) -> None:
        super().__init__()
        self._is_busy = is_busy or (lambda: False)
        self._closed = closed

    def check(self) -> None:
        """Wait for the engine, but not for ever, then raise ``Cancelled`` if asked to."""
        until_s = time.monotonic() + self.LONGEST_WAIT_S
        while self._is_busy() and time.monotonic() < until_s and not self.is_cancelled:
            time.sleep(0.005)
        if self._closed.is_set():
            self.cancel("closing")
        super().check()
