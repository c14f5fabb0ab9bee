"""The object every handler gets: pygls' server plus what we own beside it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from code2lora_lsp.config import Settings
from code2lora_lsp.runtime.api import BackendFactory, Event, Reason
from code2lora_lsp.server.backend_host import BackendHost, BackendUnavailable
from code2lora_lsp.server.client_log import ClientLog
from code2lora_lsp.server.metrics import Metrics
from code2lora_lsp.server.progress import ProgressBars
from code2lora_lsp.server.registrations import Registrations
from code2lora_lsp.server.repositories import Repositories
from code2lora_lsp.server.session import Session
from code2lora_lsp.server.wire import Wire, converter

log = logging.getLogger(__name__)
NAME = "code2lora-lsp"
CLOSE_TIMEOUT_S = 3.0


class Code2LoraServer(LanguageServer):
    """One connection to one client. Everything but ``listen`` belongs to the event loop.

    Attributes:
        on_event: what the backend's events do, on the loop; set by ``create_server``.
        on_settings: what follows from changed ``session.settings``; set by ``create_server``.
        last_status: the status the client was last told, so that it hears changes only.
    """

    def __init__(self, backend_factory: BackendFactory, settings: Settings, version: str) -> None:
        super().__init__(NAME, version, protocol_cls=Wire, converter_factory=converter)
        self.host = BackendHost(backend_factory)
        self.session = Session(settings, settings, Repositories(self.host))
        self.metrics = Metrics(self.session, self.spawn)
        self.registrations = Registrations(self)
        self.progress_bars = ProgressBars(self)
        self.client_log = ClientLog(self)
        self.on_event: Callable[[Event], None] = lambda event: log.debug("unheard: %s", event)
        self.on_settings: Callable[[], None] = lambda: None
        self.last_status: dict[str, object] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None

    @property
    def wire(self) -> Wire:
        assert isinstance(self.protocol, Wire)
        return self.protocol

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._stopped = loop, asyncio.Event()

    def stop(self) -> None:
        """End the connection: the client exited, or went away."""
        if self._stopped is not None:
            self._stopped.set()

    async def stopped(self) -> None:
        """Wait for the end, then close the backend while the loop can still hear it."""
        assert self._stopped is not None, "attach comes first"
        try:
            await self._stopped.wait()
        finally:
            self.client_log.detach()
            for task in self._tasks:
                task.cancel()
            self.session.pending.drop_all(Reason.CANCELLED, "the connection ended")
            await self.metrics.close()
            await asyncio.to_thread(self.host.close, CLOSE_TIMEOUT_S)

    def listen(self, event: Event) -> None:
        """The backend's listener: hand the event to the loop. Called on any thread."""
        self.on_loop(self.on_event, event)

    def on_loop(self, work: Any, *args: Any) -> None:
        """Run ``work`` on the loop soon; quietly not at all once the loop is closed."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(work, *args)
        except RuntimeError:
            log.debug("the connection ended before %s", work)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run ``work`` beside the handlers; what goes wrong in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BackendUnavailable):
            log.info("not done, as there is no engine: %s", error)
        elif error is not None:
            log.error("a background task failed", exc_info=error)

    def tell_once(self, message: str, *, is_error: bool) -> None:
        """Show ``message`` to the user, the first time it comes up."""
        log.log(logging.ERROR if is_error else logging.WARNING, "%s", message)
        if message in self.session.incidents:
            return
        self.session.incidents.add(message)
        kind = types.MessageType.Error if is_error else types.MessageType.Warning
        self.window_show_message(types.ShowMessageParams(kind, message))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Faults in notification handlers: pygls shows one pop-up for each, we show each once."""
        if source.__name__ != "FeatureRequestError":
            self.tell_once(f"code2lora: internal error: {error}", is_error=True)
