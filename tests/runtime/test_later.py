"""Work for later, without an engine around it."""

import threading

import pytest

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.runtime import later as later_module
from code2lora_lsp.runtime.later import MOST_WORK, WorkForLater

MODEL = object()


@pytest.fixture
def later():
    return WorkForLater(threading.Condition())


def do_all(later):
    while later.wait_s() is not None:
        later.do_oldest(MODEL, lambda: None)


def test_without_work_there_is_nothing_to_wait_for(later):
    assert later.wait_s() is None
    later.add(lambda model, check: None)
    assert later.wait_s() <= 0
    do_all(later)
    assert later.wait_s() is None


def test_the_newest_few_are_done_oldest_first(later):
    done = []
    for number in range(MOST_WORK + 2):
        later.add(lambda model, check, number=number: done.append((number, model)))
    do_all(later)
    assert done == [(number, MODEL) for number in range(2, MOST_WORK + 2)]


def test_what_gives_way_stays_the_oldest_and_what_fails_does_not(later):
    begun = []

    def gives_way(model, check):
        begun.append("gives way")
        check()

    def fails(model, check):
        begun.append("fails")
        raise RuntimeError("it broke")

    def refuse():
        raise Cancelled("a request is waiting")

    later.add(gives_way)
    later.add(fails)
    later.do_oldest(MODEL, refuse)
    do_all(later)
    assert begun == ["gives way", "gives way", "fails"]


def test_an_answer_puts_it_off(later, monkeypatch):
    monkeypatch.setattr(later_module, "IDLE_AFTER_S", 60.0)
    later.add(lambda model, check: None)
    later.put_off()
    assert 0 < later.wait_s() <= 60


def test_work_that_comes_in_while_other_work_is_done_waits_its_turn(later):
    done = []

    def second(model, check):
        done.append("second")

    def first(model, check):
        later.add(second)
        done.append("first")

    later.add(first)
    do_all(later)
    assert done == ["first", "second"]


def test_what_is_forgotten_is_not_done(later):
    later.add(lambda model, check: pytest.fail("it was forgotten"))
    later.forget()
    do_all(later)
