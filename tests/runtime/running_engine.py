"""An engine over a planted decoder, and what its tests ask of it."""

import threading
import time

import torch

from code2lora_lsp.config import CompletionSettings, FollowSettings, Settings
from code2lora_lsp.runtime.api import (
    CompletionRequest,
    EngineState,
)
from code2lora_lsp.runtime.engine import Engine
from code2lora_lsp.runtime.engine_status import EngineListener
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.text.document import DocumentSnapshot
from tests.fakes import ByteTokenizer, PlantedDecoder, random_adapter
from tests.marked import at_cursor

torch.set_num_threads(1)
WAIT_S = 10.0


class Running:
    """An engine over a planted decoder, with what it reported."""

    def __init__(self, decoder=None, loader=None, exclude=(), order="spm", **completion):
        self.decoder, self.order = decoder or PlantedDecoder(), order
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
        return LoadedModel(self.decoder, ByteTokenizer(), self.order, "fake")

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
