"""A slot holds what is current and what was."""

from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import HISTORY_LENGTH, KnowledgeSlot
from tests.fakes import random_adapter
from tests.runtime.running_engine import known


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
