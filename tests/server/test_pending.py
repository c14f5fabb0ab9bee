"""Questions that wait."""

import asyncio
from concurrent.futures import Future

import pytest

from code2lora_lsp.runtime.api import NoCompletion, Reason
from code2lora_lsp.server.pending import PendingQuestions, answered

NOTHING = NoCompletion(Reason.EMPTY)


def begun(pending, answer, question=None):
    newest = pending.supersede("a", question)
    newest.begin(answered(answer))
    return newest


async def waiting(question, asker=""):
    task = asyncio.ensure_future(question.outcome(asker))
    await asyncio.sleep(0)
    return task


def test_a_newer_question_answers_the_older_one_and_stops_its_decode():
    async def scenario():
        pending = PendingQuestions()
        older = begun(pending, Future())
        waits = await waiting(older)
        newer = begun(pending, Future())
        assert await waits == NoCompletion(Reason.SUPERSEDED, "")
        assert older.cancellation.reason == Reason.SUPERSEDED.value
        assert not newer.cancellation.is_cancelled
        pending.finish("a", older)
        assert len(pending) == 1, "a late finish of the older one leaves the newer one alone"

    asyncio.run(scenario())


def test_an_equal_question_is_found_as_long_as_somebody_waits_for_it():
    async def scenario():
        pending, answer = PendingQuestions(), Future()
        question = begun(pending, answer, "what?")
        menu, ghost = await waiting(question, "menu"), await waiting(question, "ghost")
        assert pending.equal("a", "what?") is question
        assert pending.equal("a", "who?") is pending.equal("b", "what?") is None
        answer.set_result(NOTHING)
        assert [await menu, await ghost] == [NOTHING, NOTHING]
        pending.finish("a", question)
        assert len(pending) == 0
        assert not question.cancellation.is_cancelled

    asyncio.run(scenario())


@pytest.mark.parametrize("first", [True, False])
def test_of_two_that_wait_for_one_answer_one_may_go(first):
    async def scenario():
        pending, answer = PendingQuestions(), Future()
        question = begun(pending, answer)
        both = [await waiting(question, "menu"), await waiting(question, "ghost")]
        goes, stays = both if first else reversed(both)
        goes.cancel()
        with pytest.raises(asyncio.CancelledError):
            await goes
        pending.finish("a", question)
        assert len(pending) == 1, "a change of the document must still reach it"
        assert not question.cancellation.is_cancelled
        answer.set_result(NOTHING)
        assert await stays == NOTHING

    asyncio.run(scenario())


def test_who_asks_again_takes_its_own_place_and_nobody_elses():
    async def scenario():
        pending, answer = PendingQuestions(), Future()
        question = begun(pending, answer)
        menu, older = await waiting(question, "menu"), await waiting(question, "ghost")
        newer = await waiting(question, "ghost")
        assert (await older).reason is Reason.SUPERSEDED
        assert not question.cancellation.is_cancelled
        answer.set_result(NOTHING)
        assert [await menu, await newer] == [NOTHING, NOTHING]

    asyncio.run(scenario())


def test_a_cancelled_request_leaves_the_backends_future_to_the_backend():
    async def scenario():
        answer = Future()
        question = begun(PendingQuestions(), answer)
        waits = await waiting(question)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert question.cancellation.reason == Reason.CANCELLED.value
        answer.set_result(NOTHING)  # InvalidStateError if the cancel had reached it
        await asyncio.sleep(0)

    asyncio.run(scenario())


def test_an_answer_that_fails_after_its_question_was_dropped_bothers_nobody():
    async def scenario():
        heard = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: heard.append(context)
        )
        answer = Future()
        question = begun(PendingQuestions(), answer)
        await asyncio.sleep(0)
        question.drop(Reason.OFF, "")
        assert (await question.outcome()).reason is Reason.OFF
        answer.set_exception(ValueError("late"))
        await asyncio.sleep(0.01)
        return heard

    assert asyncio.run(scenario()) == []


def test_a_future_the_backend_cancels_is_an_empty_answer():
    async def scenario():
        answer = Future()
        answer.cancel()
        return await begun(PendingQuestions(), answer).outcome()

    assert asyncio.run(scenario()).reason is Reason.CANCELLED
