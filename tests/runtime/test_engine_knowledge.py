"""What a repository publishes is bound between requests, once, and all of it."""

import threading
import time

import torch

from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from tests.fakes import ByteTokenizer, PlantedDecoder, random_adapter
from tests.runtime.running_engine import WAIT_S, Gate, known, slot_with, until


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
    until(lambda: one.decoder.passes[-1] == (fresh.adapter_id, len("x = answer\n") + 3))
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
    assert one.decoder.passes[n_passes][1] == 64
    assert one.decoder.passes[n_passes + 1][1] < 64, "the other chunks were not run"


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


class Parrot:
    """A memory that knows one continuation, at every place."""

    memory_id, size_bytes = "parrot", 0

    def near(self, in_sight):
        return self

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
