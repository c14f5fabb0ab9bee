"""The engine's promises: one answer each, the newest first, none left over."""

import logging
import threading
import time
from string import ascii_letters

import pytest

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.runtime.api import (
    EngineState,
    NoCompletion,
    Reason,
)
from code2lora_lsp.runtime.model_loading import LoadedModel
from tests.fakes import ByteTokenizer, PlantedDecoder
from tests.runtime.running_engine import WAIT_S, Gate, Running, request, until


def test_newest_request_wins_and_every_future_resolves_once(start):
    one = start()
    gate = one.decoder.before_step = Gate()
    resolved = []
    first = one.submit("first = |\n")
    assert gate.reached.wait(WAIT_S)
    others = [one.submit(f"x{i} = |\n", version=i) for i in range(20)]
    elsewhere = one.submit("y = |\n", uri="file:///b.py")
    futures = [first, *others, elsewhere]
    for future in futures:
        future.add_done_callback(resolved.append)
    gate.open.set()
    results = [future.result(WAIT_S) for future in futures]
    assert [r.reason for r in results[:-2]] == [Reason.SUPERSEDED] * 20
    assert [r.text for r in results[-2:]] == ["answer", "answer"]
    until(lambda: len(resolved) == len(futures))
    time.sleep(0.02)
    assert len(resolved) == len(futures)


def test_cancelled_request_stops_decoding_within_one_token(start):
    one = start(PlantedDecoder(ascii_letters[:40]))
    asked = request("x = |\n")
    steps_after = []

    def cancel_at_the_tenth():
        if asked.cancellation.is_cancelled:
            steps_after.append(1)
        if len(one.decoder.passes) == 10:
            asked.cancellation.cancel("the user typed on")

    one.decoder.before_step = cancel_at_the_tenth
    result = one.engine.submit(asked).result(WAIT_S)
    assert result == NoCompletion(Reason.CANCELLED, "the user typed on")
    assert steps_after == []
    assert len(one.decoder.passes) == 10


def test_a_cancelled_future_stops_decoding_too(start):
    one = start(PlantedDecoder(ascii_letters[:40]))
    gate = one.decoder.before_step = Gate()
    future = one.submit("x = |\n")
    assert gate.reached.wait(WAIT_S)
    assert future.cancel()
    gate.open.set()
    until(lambda: not one.engine.is_busy)
    assert len(one.decoder.passes) == 1
    assert one.ask("y = |\n").text == ascii_letters[:40]


def test_a_cancelled_prefill_keeps_its_chunks_and_the_next_request_uses_them(start):
    one = start(max_tokens=16)
    asked = request("#" * 400 + "|")

    def cancel_in_the_second_chunk():
        if len(one.decoder.passes) == 2:
            asked.cancellation.cancel("enough")

    one.decoder.before_step = cancel_in_the_second_chunk
    assert one.engine.submit(asked).result(WAIT_S).reason is Reason.CANCELLED
    assert [size for _, size in one.decoder.passes] == [64, 64]
    again = one.ask("#" * 400 + "|")
    assert again.timings.reused_tokens == 128
    assert max(size for _, size in one.decoder.passes) <= 64


def test_a_passed_deadline_offers_what_is_there(start):
    one = start(PlantedDecoder("abcdefghijklmnop\n"))
    one.decoder.before_step = lambda: time.sleep(0.03)
    found = one.ask("x = |\n", deadline_s=0.2)
    assert found.text
    assert "abcdefghijklmnop".startswith(found.text)
    assert len(found.text) < 16


def test_a_deadline_before_the_first_token_is_timed_out(start):
    one = start()
    one.decoder.before_step = lambda: time.sleep(0.05)
    assert one.ask("#" * 300 + "|", deadline_s=0.06).reason is Reason.TIMED_OUT
    gate = one.decoder.before_step = Gate()
    one.submit("x = |\n")
    assert gate.reached.wait(WAIT_S)
    waiting = one.submit("y = |\n", uri="file:///b.py", deadline_s=0.01)
    time.sleep(0.02)
    gate.open.set()
    assert waiting.result(WAIT_S).reason is Reason.TIMED_OUT


def test_the_setting_is_the_deadline_of_a_request_without_one(start):
    one = start(deadline_s=0.06)
    one.decoder.before_step = lambda: time.sleep(0.05)
    assert one.ask("#" * 300 + "|").reason is Reason.TIMED_OUT


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (RuntimeError("shapes differ\nand more"), "decoding broke (RuntimeError: shapes differ)"),
        (MemoryError(), "no memory left"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "no memory left"),
    ],
)
def test_a_failed_decode_is_reported_once_and_the_next_one_works(start, broken, said, caplog):
    one = start()

    def fail():
        raise broken

    with caplog.at_level(logging.CRITICAL, "code2lora_lsp"):
        one.ask("x = |\n")
        one.decoder.before_step = fail
        for turn in range(3):
            result = one.ask(f"y{turn} = |\n")
            assert result.reason is Reason.BROKEN
            assert said in result.detail
    assert len(one.incidents) == 1
    assert one.incidents[0].is_error
    one.decoder.before_step = lambda: None
    found = one.ask("x = |\n")
    assert found.text == "answer"
    assert found.timings.reused_tokens == 0, "nothing cached is trusted after a failure"


def test_closing_answers_everyone(start):
    one = start(PlantedDecoder(ascii_letters[:40]))
    gate = one.decoder.before_step = Gate()
    running = one.submit("x = |\n")
    assert gate.reached.wait(WAIT_S)
    waiting = one.submit("y = |\n", uri="file:///b.py")
    one.engine.unload()
    gate.open.set()
    for future in (running, waiting):
        assert future.result(WAIT_S).reason is Reason.UNLOADED
    assert one.engine.close(WAIT_S)
    assert one.ask("z = |\n").reason is Reason.UNLOADED
    assert one.engine.status.state is EngineState.UNLOADED
    assert one.engine.decoder is None
    assert len(one.decoder.passes) == 1


def test_before_it_is_ready_the_answer_is_not_ready():
    may_load = threading.Event()

    def loader(report):
        report("reading", 0)
        assert may_load.wait(WAIT_S)
        return LoadedModel(PlantedDecoder(), ByteTokenizer(), "spm", "fake")

    one = Running(loader=loader)
    assert one.ask("x = |\n").reason is Reason.NOT_READY
    assert one.engine.status.last_empty_reason == Reason.NOT_READY.value
    assert one.engine.decoder is None
    may_load.set()
    one.wait_ready()
    assert one.ask("x = |\n").text == "answer"
    assert one.engine.status.memory_bytes == 1234
    assert (one.engine.status.device, one.engine.status.dtype) == ("cpu", "float32")
    assert one.progress == ["reading"]
    assert one.engine.close(WAIT_S)
    assert one.states == [EngineState.READY, EngineState.UNLOADED]


def test_a_model_that_cannot_be_loaded_is_one_incident_and_every_answer_says_why():
    def loader(report):
        raise ModelMismatch("wrong model; choose another")

    one = Running(loader=loader).wait_ready()
    expected = NoCompletion(Reason.FAILED, "wrong model; choose another")
    assert one.ask("x = |\n") == expected
    assert one.engine.status.state is EngineState.FAILED
    assert one.engine.close(WAIT_S)
    assert [incident.message for incident in one.incidents] == ["wrong model; choose another"]
