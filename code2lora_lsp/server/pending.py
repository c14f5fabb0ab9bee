"""Requests that wait for the backend: one per document, the newest wins."""

import asyncio
from concurrent.futures import Future

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.runtime.api import CompletionResult, NoCompletion, Reason


class PendingRequest:
    """One unanswered request. On the event loop, except its ``cancellation``."""

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self._dropped: asyncio.Future[CompletionResult] = asyncio.get_running_loop().create_future()

    def drop(self, reason: Reason, detail: str) -> None:
        """Answer "nothing" now and tell the backend to stop."""
        self.cancellation.cancel(reason.value)
        if not self._dropped.done():
            self._dropped.set_result(NoCompletion(reason, detail))

    async def outcome(self, answer: "Future[CompletionResult]") -> CompletionResult:
        """The backend's answer, or "nothing" as soon as the request is dropped.

        When the client cancels, the cancellation is set at once and ``CancelledError`` goes on to
        pygls, which sends the one answer. ``answer`` itself is never cancelled: it belongs to the
        backend, which would fail to resolve it.
        """
        bridged = asyncio.wrap_future(answer)
        bridged.add_done_callback(_take_exception)
        try:
            await asyncio.wait({bridged, self._dropped}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.cancellation.cancel(Reason.CANCELLED.value)
            raise
        if self._dropped.done():
            return self._dropped.result()
        if bridged.cancelled():
            return NoCompletion(Reason.CANCELLED, "the engine gave the request up")
        return bridged.result()


def _take_exception(bridged: "asyncio.Future[CompletionResult]") -> None:
    """Mark the exception as seen: nobody waits for the answer to a dropped request."""
    if not bridged.cancelled():
        bridged.exception()


class PendingRequests:
    """The newest request of each document."""

    def __init__(self) -> None:
        self._newest: dict[str, PendingRequest] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def supersede(self, key: str) -> PendingRequest:
        """A new request for the document ``key``; the one before it is dropped."""
        self.drop(key, Reason.SUPERSEDED, "")
        self._newest[key] = request = PendingRequest()
        return request

    def drop(self, key: str, reason: Reason, detail: str) -> None:
        if older := self._newest.pop(key, None):
            older.drop(reason, detail)

    def drop_all(self, reason: Reason, detail: str) -> None:
        for key in list(self._newest):
            self.drop(key, reason, detail)

    def finish(self, key: str, request: PendingRequest) -> None:
        """Forget ``request``, unless a newer one already took its place."""
        if self._newest.get(key) is request:
            del self._newest[key]
