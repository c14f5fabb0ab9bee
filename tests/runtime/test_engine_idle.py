"""Work for later: done while nobody waits, on the engine's thread, and never in anyone's way."""

import threading
import time

import pytest
import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime import later, line_scoring
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.line_scoring import MOST_TOKENS, LineScoring, Unscored
from code2lora_lsp.text.added_lines import added_passages
from tests.fakes import TINY, random_adapter, random_weights
from tests.runtime.running_engine import WAIT_S, Gate, known, slot_with, until


@pytest.fixture(autouse=True)
def _idle_at_once(monkeypatch):
    monkeypatch.setattr(later, "IDLE_AFTER_S", 0.0)


class Work:
    """Goes on until it may end; remembers how often it was begun."""

    def __init__(self, *, fails=False):
        self.n_begun, self.may_end, self.done = 0, threading.Event(), threading.Event()
        self.begun = threading.Event()
        self.threads, self.fails = set(), fails

    def __call__(self, model, check):
        self.n_begun += 1
        self.begun.set()
        self.threads.add(threading.current_thread().name)
        if self.fails:
            raise RuntimeError("it broke")
        while not self.may_end.wait(0.002):
            check()
        self.done.set()


def test_work_is_done_on_the_engines_thread_and_once(start):
    running, work = start(), Work()
    work.may_end.set()
    running.engine.when_idle(work)
    assert work.done.wait(WAIT_S)
    assert running.ask("x = |") is not None
    assert work.n_begun == 1
    assert work.threads == {"code2lora-engine"}


def test_a_request_interrupts_it_and_it_is_begun_again_afterwards(start):
    running, work = start(), Work()
    running.engine.when_idle(work)
    assert work.begun.wait(WAIT_S)
    assert running.ask("x = |").text == "answer"
    until(lambda: work.n_begun == 2)
    work.may_end.set()
    assert work.done.wait(WAIT_S)


def test_something_new_to_bind_interrupts_it_too(start):
    running, work, slot = start(), Work(), slot_with(1)
    running.ask("x = |", slot)
    running.engine.when_idle(work)
    assert work.begun.wait(WAIT_S)
    slot.publish(known(random_adapter(seed=2)))
    until(lambda: work.n_begun == 2)
    work.may_end.set()


def test_work_waits_while_the_next_key_stroke_is_near(start, monkeypatch):
    monkeypatch.setattr(later, "IDLE_AFTER_S", 60.0)
    running, work = start(), Work()
    running.ask("x = |")
    running.engine.when_idle(work)
    running.ask("x = y|")
    assert work.n_begun == 0


def test_what_fails_is_left_and_completions_go_on(start):
    running, work = start(), Work(fails=True)
    running.engine.when_idle(work)
    assert work.begun.wait(WAIT_S)
    after = Work()
    after.may_end.set()
    running.engine.when_idle(after)
    assert after.done.wait(WAIT_S)
    assert work.n_begun == 1
    assert running.ask("x = |").text == "answer"
    assert running.incidents == []


def test_an_engine_that_is_unloaded_does_not_wait_for_it(start):
    running, work = start(), Work()
    running.engine.when_idle(work)
    assert work.begun.wait(WAIT_S)
    assert running.engine.close(WAIT_S)
    assert not work.done.is_set()


def scoring(knowledge, on_done):
    unscored = Unscored("commit", "checkpoint", tuple(CHANGE), knowledge)
    return LineScoring(unscored, lambda _, scores: on_done(scores))


CHANGE = added_passages({}, {"new.py": "".join(f"value_{n} = {n}\n" for n in range(60))})


def test_lines_are_scored_with_the_knowledge_given_and_without(start):
    running, scores, done = start(), [], threading.Event()
    adapter = random_adapter(seed=3)
    work = scoring(Knowledge("parent", adapter), lambda one: (scores.append(one), done.set()))
    running.engine.when_idle(work)
    assert done.wait(WAIT_S)
    assert scores[0].n_tokens == MOST_TOKENS
    assert scores[0].without_nats > 0
    assert {adapter_id for adapter_id, _ in running.decoder.passes} == {None, adapter.adapter_id}


def test_a_slow_model_scores_fewer_passages_and_the_same_ones_twice(start, monkeypatch):
    monkeypatch.setattr(line_scoring, "LONGEST_S", 0.0001)
    running, scores = start(), []
    running.decoder.before_step = lambda: time.sleep(0.001)
    running.engine.when_idle(scoring(known(random_adapter(seed=3)), scores.append))
    until(lambda: scores)
    assert 0 < scores[0].n_tokens == 100
    with_it, without = (
        sum(n for adapter_id, n in running.decoder.passes if bool(adapter_id) is is_bound)
        for is_bound in (True, False)
    )
    assert with_it == without


def test_scoring_leaves_the_bound_adapter_and_its_cached_prompt(start):
    running, slot, done = start(), slot_with(1), threading.Event()
    running.ask("x = |", slot)
    running.engine.when_idle(scoring(known(random_adapter(seed=2)), lambda _: done.set()))
    assert done.wait(WAIT_S)
    result = running.ask("x = 1\ny = |", slot)
    assert result.adapter_id == slot.current.adapter_id
    assert result.timings.reused_tokens > 0


def test_scoring_goes_on_where_it_gave_way(start):
    running, gate, scores, done = start(), Gate(), [], threading.Event()
    whole = []
    running.engine.when_idle(scoring(Knowledge("parent"), whole.append))
    until(lambda: whole)
    n_passes = len(running.decoder.passes)
    running.decoder.passes.clear()
    seen = []

    def before_step():
        seen.append(None)
        if len(seen) == n_passes // 2:
            gate()

    running.decoder.before_step = before_step
    running.engine.when_idle(scoring(Knowledge("parent"), lambda s: (scores.append(s), done.set())))
    assert gate.reached.wait(WAIT_S)
    answer = running.submit("x = |")
    gate.open.set()
    assert answer.result(WAIT_S).text == "answer"
    assert done.wait(WAIT_S)
    assert scores == whole
    n_answer = len("answer\n")
    assert len(running.decoder.passes) < 1.5 * n_passes + n_answer


def test_a_session_is_restored_after_another_one_used_the_buffer_for_merged_weights():
    decoder = Decoder(TINY, random_weights(TINY))
    one, other = DecodeSession(decoder, 64), DecodeSession(decoder, 64)
    one.bind(random_adapter(seed=1))
    before = one.feed([9, 10, 11, 12], lambda: None)
    one.feed([9, 10], lambda: None)
    other.bind(random_adapter(seed=2))
    other.feed([9, 10, 11], lambda: None)
    one.restore()
    after = one.feed([9, 10, 11, 12], lambda: None)
    assert torch.allclose(after.logits, before.logits, atol=1e-5)
    assert after.reused_tokens == 2
