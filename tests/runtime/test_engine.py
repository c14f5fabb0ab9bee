"""The engine's promises: one answer each, one adapter each, the newest first, none left over."""

import logging
import threading
import time
from dataclasses import replace
from string import ascii_letters

import pytest
import torch

from code2lora_lsp.config import CompletionSettings, FollowSettings, Settings
from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.runtime.api import (
    Completion,
    CompletionRequest,
    EngineState,
    NoCompletion,
    Reason,
    Trigger,
)
from code2lora_lsp.runtime.engine import Engine
from code2lora_lsp.runtime.engine_status import EngineListener
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import HISTORY_LENGTH, KnowledgeSlot
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.text.document import DocumentSnapshot
from tests.fakes import ByteTokenizer, PlantedDecoder, random_adapter
from tests.marked import at_cursor

torch.set_num_threads(1)
WAIT_S = 10.0


class Running:
    """An engine over a planted decoder, with what it reported."""

    def __init__(self, decoder=None, loader=None, exclude=(), **completion):
        self.decoder = decoder or PlantedDecoder()
        self.incidents, self.states, self.progress = [], [], []
        settings = {"prompt_tokens": 600, "suffix_tokens": 50, "max_tokens": 48, **completion}
        self._ready = threading.Event()
        self.engine = Engine(
            loader or self._load,
            Settings(
                completion=CompletionSettings(**settings), follow=FollowSettings(exclude=exclude)
            ),
            EngineListener(
                progress=lambda message, _: self.progress.append(message),
                changed=self._changed,
                incident=self.incidents.append,
            ),
        )

    def _load(self, report):
        report("reading", 0)
        return LoadedModel(self.decoder, ByteTokenizer(), "spm", "fake")

    def _changed(self, status):
        self.states.append(status.state)
        if status.state is not EngineState.LOADING:
            self._ready.set()

    def wait_ready(self):
        assert self._ready.wait(WAIT_S)
        self.decoder.passes.clear()
        return self

    def ask(self, marked, slot=None, **fields):
        return self.submit(marked, slot, **fields).result(WAIT_S)

    def submit(self, marked, slot=None, **fields):
        return self.engine.submit(request(marked, **fields), slot)


def request(marked, uri="file:///a.py", version=1, **fields):
    text, offset = at_cursor(marked)
    return CompletionRequest(DocumentSnapshot(uri, version, "python", text), offset, **fields)


@pytest.fixture
def start():
    running = []

    def make(*arguments, **named):
        running.append(Running(*arguments, **named))
        return running[-1].wait_ready()

    yield make
    for one in running:
        one.decoder.before_step = lambda: None
        assert one.engine.close(WAIT_S)


class Gate:
    """Holds the engine's thread inside a forward pass until opened."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.open.wait(WAIT_S)


def until(condition):
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.002)


def known(adapter):
    return Knowledge(adapter.commit_id, adapter)


def slot_with(*seeds):
    slot = KnowledgeSlot()
    for seed in seeds:
        slot.publish(known(random_adapter(seed=seed)))
    return slot


def test_a_completion_is_the_planted_line_at_the_cursor(start):
    one = start(PlantedDecoder("compute(a)\nnext"))
    found = one.ask("x = |\ny = 1\n")
    assert (found.text, found.start, found.end) == ("compute(a)", 4, 4)
    assert found.adapter_id is found.adapter_commit is None
    assert -0.01 < found.log_probability < 0
    assert found.timings.prompt_tokens == 3 + 4 + 7
    assert found.timings.new_tokens == len("compute(a)\n")
    assert one.engine.status.last_timings == found.timings
    assert one.decoder.threads.isdisjoint({threading.get_ident()}), "decoding has its own thread"


def test_invoked_asks_for_several_lines(start):
    one = start(PlantedDecoder("\n    a = 1\n    return a\n\ndef g():\n"))
    assert one.ask("def f():|\n").reason is Reason.EMPTY
    found = one.ask("def f():|\n", trigger=Trigger.INVOKED)
    assert found.text == "\n    a = 1\n    return a"


def test_crlf_is_lf_to_the_model_and_comes_back(start):
    one = start(PlantedDecoder("\n    return 1\n"))
    found = one.ask("def f():|\r\ng()\r\n", trigger=Trigger.INVOKED)
    assert found.text == "\r\n    return 1"
    assert ord("\r") + 8 not in one.engine._session.tokens


def test_a_selected_item_is_extended_and_replaced_as_a_whole(start):
    one = start(PlantedDecoder("(a)\n"))
    found = one.ask("x = app|\n", selected_text="append", selected_start=4)
    assert (found.text, found.start, found.end) == ("append(a)", 4, 7)


def test_typing_through_needs_no_model_call(start):
    one = start(PlantedDecoder("compute(a)\n"))
    assert one.ask("x = |\n").text == "compute(a)"
    n_passes = len(one.decoder.passes)
    for typed in range(1, len("compute(a)")):
        shown = one.ask(f"x = {'compute(a)'[:typed]}|\n", version=typed)
        assert shown.text == "compute(a)"[typed:]
    assert len(one.decoder.passes) == n_passes
    one.ask("x = cos|\n")
    assert len(one.decoder.passes) > n_passes, "departing from it asks the model"


def test_typing_through_ends_with_another_suffix_document_or_adapter(start):
    one = start(PlantedDecoder("compute(a)\n"))
    for change in ({"marked": "x = c|\nz\n"}, {"marked": "x = c|\n", "uri": "file:///b.py"}):
        one.ask("x = |\n")
        n_passes = len(one.decoder.passes)
        one.ask(**change)
        assert len(one.decoder.passes) > n_passes
    one.ask("x = |\n")
    n_passes = len(one.decoder.passes)
    one.ask("x = c|\n", slot_with(1))
    assert len(one.decoder.passes) > n_passes


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
    assert [size for _, size in one.decoder.passes] == [128, 128]
    again = one.ask("#" * 400 + "|")
    assert again.timings.reused_tokens == 256
    assert max(size for _, size in one.decoder.passes) <= 128


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


def test_decode_never_sees_two_adapters(start):
    """Adapters are published as fast as can be while completions run: each one sees one."""
    one = start(PlantedDecoder(lambda adapter_id: f"{adapter_id}\n"))
    slot, stop = slot_with(0), threading.Event()
    adapters = [random_adapter(seed=seed) for seed in range(6)]

    def publish():
        while not stop.is_set():
            for adapter in adapters:
                slot.publish(known(adapter))
                time.sleep(0.0005)

    publisher = threading.Thread(target=publish, daemon=True)
    one.decoder.before_step = lambda: time.sleep(0.0002)
    seen = set()
    publisher.start()
    try:
        for turn in range(60):
            found = one.ask(f"x{turn} = |\n", slot, uri=f"file:///{turn}.py")
            # each character was planted by the weights of that very step
            assert found.text == found.adapter_id
            seen.add(found.adapter_id)
    finally:
        stop.set()
        publisher.join()
    assert len(seen) > 1
    assert one.incidents == [], "the fake refuses a cache of one adapter with another's weights"


def test_binding_drops_the_cache_and_names_the_commit(start):
    one = start()
    one.ask("x = |\n")
    slot = slot_with(1)
    found = one.ask("x = |\n", slot)
    assert found.timings.reused_tokens == 0
    assert found.adapter_id == slot.current.adapter_id
    assert found.adapter_commit == slot.current.commit_id
    again = one.ask("x = 1 + |\n", slot)
    assert again.timings.reused_tokens > 0
    assert one.engine.status.adapter_id == slot.current.adapter_id
    assert one.ask("x = 1 + |\n").adapter_id is None, "no slot, no adapter"


def test_a_new_adapter_is_warmed_up_while_idle(start):
    one = start()
    slot = slot_with(1)
    one.ask("x = |\n", slot)
    fresh = random_adapter(seed=2)
    slot.publish(known(fresh))
    until(lambda: one.engine.status.adapter_id == fresh.adapter_id)
    until(lambda: one.decoder.passes[-1] == (fresh.adapter_id, len("x = \n") + 3))
    found = one.ask("x = |\n", slot)
    assert found.adapter_id == fresh.adapter_id
    assert found.timings.reused_tokens == found.timings.prompt_tokens - 1


def test_warming_up_gives_way_to_a_request(start):
    one = start(max_tokens=16)
    slot = slot_with(1)
    one.ask("#" * 400 + "|", slot)
    gate = one.decoder.before_step = Gate()
    n_passes = len(one.decoder.passes)
    slot.publish(known(random_adapter(seed=2)))
    assert gate.reached.wait(WAIT_S)
    future = one.submit("y = |\n", slot, uri="file:///b.py")
    gate.open.set()
    assert future.result(WAIT_S).text == "answer"
    assert one.decoder.passes[n_passes][1] == 128
    assert one.decoder.passes[n_passes + 1][1] < 128, "the other chunks were not run"


def test_a_released_slot_is_no_longer_listened_to(start):
    one = start()
    slot = slot_with(1)
    one.ask("x = |\n", slot)
    one.engine.release(slot)
    slot.publish(known(random_adapter(seed=2)))
    time.sleep(0.05)
    assert one.engine.status.adapter_id == slot.previous[-1].adapter_id


def test_an_unfit_adapter_is_reported_once_and_the_plain_backbone_answers(start):
    one = start()
    slot = slot_with(1)
    one.decoder.rejected.add(slot.current.adapter_id)
    for turn in range(3):
        found = one.ask(f"x{turn} = |\n", slot)
        assert found.adapter_id is None
        assert found.adapter_commit is None
    assert [incident.message for incident in one.incidents] == [
        f"adapter {slot.current.adapter_id} cannot be used: the fake was told to reject it"
    ]


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
            assert result.reason is Reason.FAILED
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


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"uri": "file:///home/me/.env"}, Reason.SECRET),
        ({"uri": "file:///x.py", "path": ".ssh/id_rsa"}, Reason.SECRET),
        ({"uri": "file:///home/me/%2Eenv"}, Reason.SECRET),
    ],
)
def test_secret_files_never_reach_the_model(start, fields, reason):
    one = start()
    assert one.ask("x = |\n", **fields).reason is reason
    assert one.decoder.passes == []


@pytest.mark.parametrize("path", ["vault/deep/keys.py", "generated_api.py", "a/generated_b.py"])
def test_excluded_files_never_reach_the_model(start, path):
    one = start(exclude=("/vault/", "generated_*.py", "!generated_kept.py"))
    assert one.ask("x = |\n", path=path).reason is Reason.EXCLUDED
    assert one.decoder.passes == []


def test_files_that_no_exclude_pattern_names_are_completed(start):
    one = start(exclude=("/vault/", "generated_*.py", "!generated_kept.py"))
    for path in ("src/vault/keys.py", "generated_kept.py", "vault.py", None):
        assert isinstance(one.ask("x = |\n", path=path), Completion), path


def test_large_documents_never_reach_the_model(start):
    one = start(max_document_chars=100)
    assert one.ask("#" * 101 + "|").reason is Reason.TOO_LARGE
    assert one.decoder.passes == []
    assert isinstance(one.ask("#" * 100 + "|"), Completion)


def test_an_unsure_completion_is_withheld(start):
    decoder = PlantedDecoder("answer\n")
    one = start(decoder, min_confidence=0.5)
    assert isinstance(one.ask("x = |\n"), Completion)
    decoder.peak = 2.0
    assert one.ask("y = |\n").reason is Reason.LOW_CONFIDENCE


def test_special_and_surplus_ids_are_never_text(start):
    """The likeliest id is a banned one in every step; the answer comes out all the same."""
    decoder = PlantedDecoder("answer\n")
    decoder.vocabulary_size += 3  # embeddings beyond the tokenizer's ids
    plain_step = decoder._step

    def step(*arguments):
        logits = plain_step(*arguments)
        logits[[5, 6, 7, -1, -2]] = 50.0
        return logits

    decoder._step = step
    assert start(decoder).ask("x = |\n").text == "answer"


def test_end_of_text_ends_the_completion(start):
    assert start(PlantedDecoder("short")).ask("x = |\n").text == "short"
    assert start(PlantedDecoder("")).ask("x = |\n").reason is Reason.EMPTY


def test_a_slot_rolls_back_through_its_history():
    slot = KnowledgeSlot()
    told = []
    slot.listen(lambda: told.append(slot.current))
    assert slot.current is None
    assert slot.roll_back() is None
    values = [known(random_adapter(seed=seed)) for seed in range(HISTORY_LENGTH + 3)]
    for value in values:
        slot.publish(value)
    assert slot.previous == tuple(values[3:-1])
    assert slot.roll_back() is values[-2]
    assert slot.current is values[-2]
    assert told == [*values, values[-2]]


def test_what_is_on_the_way_is_never_rolled_back_to():
    slot = KnowledgeSlot()
    committed, edited, edited_again = (
        Knowledge("c" * 40, edited=frozenset(names)) for names in ((), ("a.py",), ("b.py",))
    )
    slot.publish(committed)
    slot.publish(edited, provisional=True)
    slot.publish(edited_again, provisional=True)
    assert slot.previous == (committed,)
    slot.publish(committed)
    assert slot.previous == (), "the same value twice is one step back, not two"


class Parrot:
    """A mixer that knows one continuation."""

    memory_id = "parrot"

    def mixed(self, log_p, context):
        sure = torch.full_like(log_p, float("-inf"))
        sure[ByteTokenizer().encode("z")[0]] = 0.0
        return sure


def test_both_parts_of_a_knowledge_are_bound_and_a_sharp_part_alone_too(start):
    one, slot = start(max_tokens=3), KnowledgeSlot()
    assert one.ask("x = |\n", slot).text == "ans"
    slot.publish(Knowledge("c" * 40, sharp=Parrot()))
    found = one.ask("x = |\n", slot)
    assert (found.text, found.adapter_id) == ("zzz", None)
    slot.publish(known(random_adapter(seed=1)))
    assert one.ask("x = |\n", slot).text == "ans", "the mixer went with its knowledge"


def test_equal_requests_have_equal_answers(start):
    one = start()
    first, second = (one.ask("x = |\n", uri=f"file:///{i}.py") for i in range(2))
    assert replace(first, timings=None) == replace(second, timings=None)


def test_a_model_that_runs_in_circles_is_stopped_after_its_first_round(start):
    one = start(PlantedDecoder("1, " * 16))
    assert one.ask("x = f(|\n").text.rstrip() == "1,"
    assert len(one.decoder.passes) < 12
