"""The backend behind the server: made after ``initialized``, called in order on one thread.

Making it imports torch, so it never happens on the event loop. Every other call that might take
time queues up behind it; ``complete`` and ``status`` return at once and are called directly.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from code2lora_lsp.config import Settings
from code2lora_lsp.errors import Code2LoraError, EngineError
from code2lora_lsp.runtime.api import Backend, BackendFactory, Incident, Listener

log = logging.getLogger(__name__)
T = TypeVar("T")


class BackendUnavailable(EngineError):
    """There is no backend: it was not made yet, or making it failed."""


class BackendHost:
    """Owns the backend and the thread that makes and calls it."""

    def __init__(self, factory: BackendFactory) -> None:
        self._factory = factory
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_making = False
        self._left_threads = False
        self.backend: Backend | None = None
        self.failure: str | None = None

    @property
    def is_started(self) -> bool:
        return self._thread is not None

    def start(self, settings: Settings, listener: Listener) -> None:
        """Make the backend on the host's thread; returns at once. Once more after a failure."""
        self.failure = None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="code2lora-calls", daemon=True)
            self._thread.start()
        self._work.put(lambda: self._make(settings, listener))

    def call(self, work: Callable[[Backend], T]) -> "Future[T]":
        """Run ``work`` with the backend, after everything asked before."""
        future: Future[T] = Future()
        self._work.put(lambda: self._resolve(future, work))
        return future

    @property
    def is_closed(self) -> bool:
        """Whether no thread of ours is left."""
        if self._thread is None:
            return True
        return not (self._thread.is_alive() or self._left_threads)

    def close(self, timeout_s: float) -> None:
        """Close the backend and end the thread, unless it is still importing: that cannot stop."""
        if self._thread is None or self._is_making:
            return
        self._work.put(self._close)
        self._work.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _make(self, settings: Settings, listener: Listener) -> None:
        self._is_making = True
        try:
            backend = self._factory(settings, listener)
            backend.start()
            self.backend = backend
        except Code2LoraError as error:
            self._fail(str(error), listener)
        except Exception as error:
            log.exception("the engine could not be started")
            self._fail(
                f"code2lora could not start its engine: {type(error).__name__}: {error}. "
                "The server's log has the details; `code2lora-lsp --check` examines the set-up.",
                listener,
            )
        finally:
            self._is_making = False

    def _fail(self, message: str, listener: Listener) -> None:
        self.failure = message
        listener(Incident(message, is_error=True))

    def _resolve(self, future: "Future[T]", work: Callable[[Backend], T]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if self.backend is None:
            problem = self.failure or "the engine was not started yet"
            future.set_exception(BackendUnavailable(problem))
            return
        try:
            future.set_result(work(self.backend))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the call
            future.set_exception(error)

    def _close(self) -> None:
        if self.backend is None:
            return
        try:
            self._left_threads = not self.backend.close()
        except Exception:
            log.exception("the engine did not close cleanly")
            self._left_threads = True
