"""The wait before reading what the next key would throw away."""

import threading

import pytest

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.runtime import pace as pace_module
from code2lora_lsp.runtime.api import Reason, Trigger
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.runtime.pace import FIRST_GAP_S, LONGEST_GAP_S, WARM_TOKENS, Pace
from tests.fakes import ByteTokenizer, PlantedDecoder
from tests.runtime.running_engine import WAIT_S, Running, until

SUFFIX = "y = 1\n" * 30


def typing(gap_s, n_keys=60):
    pace = Pace()
    for key in range(n_keys):
        pace.asked(key * gap_s)
    return pace


def test_nothing_is_waited_for_when_little_would_be_wasted():
    assert Pace().pause_s(0) == Pace().pause_s(WARM_TOKENS) == 0
    assert Pace().pause_s(WARM_TOKENS + 1) == FIRST_GAP_S


def test_the_wait_is_the_users_gap_between_keys():
    assert typing(0.05).pause_s(200) == pytest.approx(0.05, abs=1e-3)
    assert typing(0.12).pause_s(200) == pytest.approx(0.12, abs=1e-3)
    assert typing(0.4).pause_s(200) == FIRST_GAP_S, "such pauses are no typing"
    assert typing(0.14).pause_s(200) <= LONGEST_GAP_S


def test_the_models_own_time_is_taken_off():
    pace = Pace()
    pace.read(500, 0.1)
    assert pace.pause_s(100) == pytest.approx(FIRST_GAP_S - 0.02)
    assert pace.pause_s(2000) == 0
    pace.read(WARM_TOKENS, 60.0)
    assert pace.pause_s(100) == pytest.approx(FIRST_GAP_S - 0.02), "one chunk says little"


@pytest.fixture
def start(monkeypatch):
    running = []

    def make(order):
        decoder = PlantedDecoder()
        model = LoadedModel(decoder, ByteTokenizer(), order, "fake")
        one = Running(decoder, lambda report: model, suffix_tokens=200, prompt_tokens=600)
        running.append(one)
        return one.wait_ready()

    monkeypatch.setattr(pace_module, "FIRST_GAP_S", 60.0)
    yield make
    for one in running:
        one.engine.close()


def test_a_key_that_comes_in_time_saves_reading_a_suffix_for_the_one_before(start):
    one = start("psm")
    first = one.submit("x|\n" + SUFFIX)
    until(lambda: one.engine._inbox.running is not None)
    one.submit("x = |\n" + SUFFIX)
    assert first.result(WAIT_S).reason is Reason.SUPERSEDED
    assert one.decoder.passes == []


@pytest.mark.parametrize(
    ("order", "trigger"), [("spm", Trigger.AUTOMATIC), ("psm", Trigger.INVOKED)]
)
def test_what_stays_read_and_what_is_asked_for_by_hand_never_waits(start, order, trigger):
    assert start(order).ask("x = |\n" + SUFFIX, trigger=trigger).text == "answer"


def test_a_cancelled_request_does_not_wait_on(start):
    one = start("psm")
    future = one.submit("x|\n" + SUFFIX)
    until(lambda: one.engine._inbox.running is not None)
    future.cancel()
    until(lambda: not one.engine.is_busy)
    assert one.decoder.passes == []


def test_a_pause_ends_as_soon_as_the_request_does():
    looked = []

    def check():
        looked.append(True)
        if len(looked) == 3:
            raise Cancelled("another key")

    pace = Pace()
    pace.asked(0.0)
    pace._gap_s = 60.0
    with pytest.raises(Cancelled):
        pace.pause(WARM_TOKENS + 1, threading.Condition(), check)
    pace.pause(WARM_TOKENS, threading.Condition(), lambda: pytest.fail("nothing is wasted"))
