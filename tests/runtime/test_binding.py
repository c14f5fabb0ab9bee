"""One knowledge bound to one model, without an engine around it."""

import threading

import pytest

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.config import CompletionSettings
from code2lora_lsp.runtime.api import Reason
from code2lora_lsp.runtime.binding import Binding
from code2lora_lsp.runtime.engine_status import EngineListener, StatusBoard
from code2lora_lsp.runtime.model_loading import LoadedModel
from tests.fakes import ByteTokenizer, PlantedDecoder, random_adapter
from tests.runtime.running_engine import known, slot_with

PROMPT = [20, 21, 22]


class Bound:
    """A binding over a planted decoder, with what its board told."""

    def __init__(self):
        self.decoder, self.incidents, self.statuses = PlantedDecoder(), [], []
        listener = EngineListener(changed=self.statuses.append, incident=self.incidents.append)
        self.board = StatusBoard(listener, threading.Condition())
        model = LoadedModel(self.decoder, ByteTokenizer(), "spm", "fake")
        settings = CompletionSettings(prompt_tokens=300, suffix_tokens=50, max_tokens=48)
        self.binding = Binding(model, settings, self.board)

    def feed(self):
        return self.binding.session.feed(PROMPT, lambda: None)


@pytest.fixture
def bound():
    return Bound()


def test_what_is_bound_is_shown_once(bound):
    knowledge = known(random_adapter(seed=1))
    bound.binding.bind(knowledge)
    bound.binding.bind(knowledge)
    assert [status.adapter_id for status in bound.statuses] == [knowledge.adapter_id]
    assert bound.binding.commit_id == knowledge.commit_id
    bound.binding.bind(None)
    assert bound.board.status.adapter_id is None
    assert bound.binding.commit_id is None


def test_an_unfit_adapter_is_tried_once_and_the_backbone_takes_its_place(bound):
    fit, unfit = known(random_adapter(seed=1)), known(random_adapter(seed=2))
    bound.decoder.rejected.add(unfit.adapter_id)
    bound.binding.bind(fit)
    for _ in range(3):
        bound.binding.bind(unfit)
        assert bound.binding.session.adapter_id is None
        bound.binding.bind(fit)
        assert bound.binding.session.adapter_id == fit.adapter_id
    (incident,) = bound.incidents
    assert incident.message.startswith(f"adapter {unfit.adapter_id} cannot be used")


def test_after_a_failure_nothing_cached_is_trusted_and_it_is_told_once(bound):
    bound.feed()
    for _ in range(2):
        answer = bound.binding.recover(RuntimeError("the device is gone"))
        assert answer.reason is Reason.BROKEN
        assert "the device is gone" in answer.detail
        assert bound.feed().reused_tokens == 0
    assert [incident.message for incident in bound.incidents] == [answer.detail]


def test_getting_ready_gives_way_and_survives_what_breaks(bound):
    def refuse():
        raise Cancelled("a request is waiting")

    slot = slot_with(1)
    bound.binding.warm_again(slot, refuse)
    assert bound.binding.session.adapter_id == slot.current.adapter_id
    assert bound.incidents == []
    slot.publish(known(random_adapter(seed=2)))
    bound.decoder.merged = None
    bound.binding.warm_again(slot, lambda: None)
    assert len(bound.incidents) == 1


def test_trying_out_leaves_nothing_read(bound):
    bound.binding.try_out(lambda: None)
    assert len(bound.decoder.passes) == 1
    assert bound.binding.session.tokens == ()
