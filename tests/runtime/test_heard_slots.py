"""Whose news an engine hears of."""

import threading

from code2lora_lsp.runtime.heard_slots import HeardSlots
from tests.fakes import random_adapter
from tests.runtime.running_engine import known, slot_with


def publish(slot):
    slot.publish(known(random_adapter(seed=9)))


def test_a_slot_that_was_asked_with_is_heard_and_no_other():
    slots, used, other = HeardSlots(threading.Condition()), slot_with(1), slot_with(2)
    assert slots.use(used) is used.current
    publish(other)
    assert not slots.take_news()
    publish(used)
    assert slots.has_news
    assert slots.take_news()
    assert not slots.take_news()


def test_a_slot_is_heard_while_another_one_is_active():
    slots, first, second = HeardSlots(threading.Condition()), slot_with(1), slot_with(2)
    slots.use(first)
    slots.use(second)
    assert slots.active is second
    publish(first)
    assert slots.take_news()
    assert slots.use(None) is None
    assert slots.active is None


def test_a_released_slot_is_not_heard_and_not_active():
    slots, released, kept = HeardSlots(threading.Condition()), slot_with(1), slot_with(2)
    slots.use(kept)
    slots.use(released)
    slots.release(released)
    assert slots.active is None
    publish(released)
    assert not slots.has_news
    slots.release_all()
    publish(kept)
    assert not slots.has_news
