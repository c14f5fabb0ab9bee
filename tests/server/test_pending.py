"""Requests that wait."""

import asyncio
from concurrent.futures import Future

import pytest

from code2lora_lsp.runtime.api import NoCompletion, Reason
from code2lora_lsp.server.pending import PendingRequests

NOTHING = NoCompletion(Reason.EMPTY)


def test_a_newer_request_answers_the_older_one_and_stops_its_decode():
    async def scenario():
        pending = PendingRequests()
        older = pending.supersede("a")
        waiting = asyncio.ensure_future(older.outcome(Future()))
        await asyncio.sleep(0)
        newer = pending.supersede("a")
        assert await waiting == NoCompletion(Reason.SUPERSEDED, "")
        assert older.cancellation.reason == Reason.SUPERSEDED.value
        assert not newer.cancellation.is_cancelled
        pending.finish("a", older)
        assert len(pending) == 1, "a late finish of the older one leaves the newer one alone"

    asyncio.run(scenario())


def test_a_cancelled_request_leaves_the_backends_future_to_the_backend():
    async def scenario():
        request, answer = PendingRequests().supersede("a"), Future()
        waiting = asyncio.ensure_future(request.outcome(answer))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert request.cancellation.is_cancelled
        answer.set_result(NOTHING)  # InvalidStateError if the cancel had reached it
        await asyncio.sleep(0)

    asyncio.run(scenario())


def test_an_answer_that_fails_after_its_request_was_dropped_bothers_nobody():
    async def scenario():
        heard = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: heard.append(context)
        )
        request, answer = PendingRequests().supersede("a"), Future()
        request.drop(Reason.OFF, "")
        assert (await request.outcome(answer)).reason is Reason.OFF
        answer.set_exception(ValueError("late"))
        await asyncio.sleep(0.01)
        return heard

    assert asyncio.run(scenario()) == []


def test_a_future_the_backend_cancels_is_an_empty_answer():
    async def scenario():
        request, answer = PendingRequests().supersede("a"), Future()
        answer.cancel()
        return await request.outcome(answer)

    assert asyncio.run(scenario()).reason is Reason.CANCELLED
