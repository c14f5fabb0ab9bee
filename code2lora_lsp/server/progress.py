"""The backend's progress as ``window/workDoneProgress``, for clients that show it."""

import asyncio
import itertools
import logging
import time
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from code2lora_lsp.runtime.api import ProgressBegan, ProgressEnded, ProgressMoved

if TYPE_CHECKING:
    from code2lora_lsp.server.language_server import Code2LoraServer

log = logging.getLogger(__name__)
_LEAST_INTERVAL_S = 0.1

Step = ProgressMoved | ProgressEnded


class ProgressBars:
    """One bar per running job of the backend. Lives on the event loop."""

    def __init__(self, server: "Code2LoraServer") -> None:
        self._server = server
        self._steps: dict[str, asyncio.Queue[Step]] = {}
        self._numbers = itertools.count(1)

    def began(self, event: ProgressBegan) -> None:
        if self._server.session.client.shows_progress and event.token not in self._steps:
            steps: asyncio.Queue[Step] = asyncio.Queue()
            self._steps[event.token] = steps
            self._server.spawn(self._show(event, steps))

    def moved(self, event: ProgressMoved) -> None:
        if steps := self._steps.get(event.token):
            steps.put_nowait(event)

    def ended(self, event: ProgressEnded) -> None:
        if steps := self._steps.pop(event.token, None):
            steps.put_nowait(event)

    async def _show(self, began: ProgressBegan, steps: "asyncio.Queue[Step]") -> None:
        """Create the bar, then relay its steps: they may arrive before the client has agreed."""
        token = f"code2lora/{next(self._numbers)}"  # the backend's tokens may come back, ours not
        try:
            await self._server.window_work_done_progress_create_async(
                types.WorkDoneProgressCreateParams(token)
            )
        except JsonRpcException as error:
            log.info("the client shows no progress for %s: %s", began.title, error)
            self._steps.pop(began.token, None)
            return
        self._send(token, types.WorkDoneProgressBegin(title=began.title, percentage=0))
        shown_at_s = 0.0
        while not isinstance(step := await steps.get(), ProgressEnded):
            now_s = time.monotonic()
            if now_s - shown_at_s >= _LEAST_INTERVAL_S:
                shown_at_s = now_s
                self._send(token, _report(step))
        self._send(token, types.WorkDoneProgressEnd(message=step.message))

    def _send(self, token: str, value: object) -> None:
        self._server.progress(types.ProgressParams(token, value))


def _report(step: ProgressMoved) -> types.WorkDoneProgressReport:
    return types.WorkDoneProgressReport(message=step.message, percentage=step.percentage)
