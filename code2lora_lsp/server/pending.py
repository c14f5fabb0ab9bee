"""Questions that wait for the backend: one per document, the newest wins."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.runtime.api import CompletionResult, NoCompletion, Reason


class PendingQuestion:
    """One question on its way to the backend, and who waits for the answer.

    On the event loop, except its ``cancellation``.

    Attributes:
        question: what is asked; who asks an equal thing meanwhile waits for the same answer.
            ``None`` is equal to nothing.
        cancellation: set once nobody waits any more.
    """

    def __init__(self, question: object = None) -> None:
        self.question = question
        self.cancellation = Cancellation()
        self._dropped: NoCompletion | None = None
        self._waiting: dict[str, asyncio.Future[CompletionResult]] = {}
        self._answer: asyncio.Task[CompletionResult] | None = None

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def begin(self, answer: Coroutine[Any, Any, CompletionResult]) -> None:
        """Work on the answer from now on, whoever of those who wait for it goes away."""
        self._answer = asyncio.get_running_loop().create_task(answer)
        self._answer.add_done_callback(_take_exception)

    def drop(self, reason: Reason, detail: str) -> None:
        """Answer "nothing" to everybody now and tell the backend to stop."""
        self.cancellation.cancel(reason.value)
        self._dropped = NoCompletion(reason, detail)
        for waiting in self._waiting.values():
            _answer_nothing(waiting, self._dropped)

    async def outcome(self, asker: str = "") -> CompletionResult:
        """The answer begun last, or "nothing" as soon as the question is dropped.

        Of two with the same name ``asker`` the newer one waits on, and the older gets "nothing".
        When the client cancels the last one, the cancellation is set at once; ``CancelledError``
        goes on to pygls, which sends the one answer.
        """
        assert self._answer is not None, "begin comes first"
        if older := self._waiting.get(asker):
            _answer_nothing(older, NoCompletion(Reason.SUPERSEDED))
        waiting: asyncio.Future[CompletionResult] = asyncio.get_running_loop().create_future()
        self._waiting[asker] = waiting
        if self._dropped is not None:
            _answer_nothing(waiting, self._dropped)
        try:
            await asyncio.wait({self._answer, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._waiting.get(asker) is waiting:
                del self._waiting[asker]
            if not self._waiting and not self._answer.done():
                self.cancellation.cancel(Reason.CANCELLED.value)
        return waiting.result() if waiting.done() else self._answer.result()


def _answer_nothing(waiting: "asyncio.Future[CompletionResult]", why: NoCompletion) -> None:
    if not waiting.done():
        waiting.set_result(why)


async def answered(answer: "Future[CompletionResult]") -> CompletionResult:
    """The backend's answer. ``answer`` is never cancelled: the backend would fail to resolve it."""
    bridged = asyncio.wrap_future(answer)
    bridged.add_done_callback(_take_exception)
    await asyncio.wait({bridged})
    if bridged.cancelled():
        return NoCompletion(Reason.CANCELLED, "the engine gave the request up")
    return bridged.result()


def _take_exception(answer: "asyncio.Future[CompletionResult]") -> None:
    """Mark the exception as seen: nobody waits for the answer to a dropped question."""
    if not answer.cancelled():
        answer.exception()


class PendingQuestions:
    """The newest question of each document."""

    def __init__(self) -> None:
        self._newest: dict[str, PendingQuestion] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def equal(self, key: str, question: object) -> PendingQuestion | None:
        """What waits for the document ``key``, if it is the same question."""
        newest = self._newest.get(key)
        return newest if newest is not None and newest.question == question else None

    def supersede(self, key: str, question: object = None) -> PendingQuestion:
        """A new question about the document ``key``; the one before it is dropped."""
        self.drop(key, Reason.SUPERSEDED, "")
        self._newest[key] = newest = PendingQuestion(question)
        return newest

    def drop(self, key: str, reason: Reason, detail: str) -> None:
        if older := self._newest.pop(key, None):
            older.drop(reason, detail)

    def drop_all(self, reason: Reason, detail: str) -> None:
        for key in list(self._newest):
            self.drop(key, reason, detail)

    def finish(self, key: str, question: PendingQuestion) -> None:
        """Forget ``question``, unless somebody waits for it or a newer one took its place."""
        if self._newest.get(key) is question and not question.is_awaited:
            del self._newest[key]
