"""Requests before their turn: one per document, the newest first, each answered once."""

import pytest

from code2lora_lsp.cancellation import Cancelled, Deadline
from code2lora_lsp.runtime.api import NoCompletion, Reason
from code2lora_lsp.runtime.inbox import Inbox
from code2lora_lsp.runtime.job import Job
from tests.runtime.running_engine import request


def job(uri="file:///a.py"):
    return Job(request("x = |", uri), None, Deadline(None))


def test_a_newer_request_ousts_the_waiting_one_of_its_document_alone():
    inbox, first, other, newer = Inbox(), job(), job("file:///b.py"), job()
    assert [inbox.put(one) for one in (first, other, newer)] == [None, None, first]
    assert [inbox.take(), inbox.take()] == [newer, other]
    assert not inbox.is_waited_for


def test_a_newer_request_stops_the_running_one_of_its_document_alone():
    inbox, running = Inbox(), job()
    inbox.put(running)
    inbox.take()
    inbox.put(job("file:///b.py"))
    running.check()
    inbox.put(job())
    with pytest.raises(Cancelled) as stopped:
        running.check()
    assert running.why_stopped(str(stopped.value)) == NoCompletion(Reason.SUPERSEDED)


def test_what_is_drained_is_everything_that_was_not_answered():
    inbox, running, waiting = Inbox(), job(), job("file:///b.py")
    inbox.put(running)
    inbox.take()
    inbox.put(waiting)
    assert inbox.drain() == [waiting, running]
    assert inbox.running is None
    assert not inbox.is_waited_for
    assert inbox.drain() == []


def test_a_job_goes_on_only_while_somebody_waits_for_its_answer():
    abandoned, cancelled = job(), job()
    abandoned.check()
    abandoned.future.cancel()
    cancelled.request.cancellation.cancel("another key")
    for one in (abandoned, cancelled):
        with pytest.raises(Cancelled):
            one.check()
    assert cancelled.why_stopped("another key") == NoCompletion(Reason.CANCELLED, "another key")


def test_an_answer_to_nobody_is_dropped():
    one = job()
    one.future.cancel()
    one.resolve(NoCompletion(Reason.EMPTY))
    assert one.future.cancelled()
