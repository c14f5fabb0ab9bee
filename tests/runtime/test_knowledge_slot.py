"""A slot holds what is current and what was."""

from dataclasses import dataclass

from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import (
    HISTORY_LENGTH,
    MOST_EARLIER_BYTES,
    KnowledgeSlot,
)
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


def test_the_same_knowledge_again_says_why_it_has_no_adapter_now():
    slot, told = KnowledgeSlot(), []
    slot.listen(lambda: told.append(slot.current))
    slot.publish(Knowledge("c" * 40, why_no_adapter="still reading"), provisional=True)
    slot.publish(Knowledge("c" * 40, why_no_adapter="nothing helps"))
    assert slot.current.why_no_adapter == "nothing helps"
    assert len(told) == 1
    assert slot.previous == ()


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


@dataclass(frozen=True)
class Sized:
    """Stands in for a sharp memory of some size."""

    memory_id: str
    size_bytes: int


def large(commit, memory=None, size_bytes=MOST_EARLIER_BYTES + 1, edited=()):
    return Knowledge(commit, sharp=Sized(memory or commit, size_bytes), edited=frozenset(edited))


def test_of_what_is_large_only_the_commit_before_is_kept():
    slot = KnowledgeSlot()
    values = [large(f"{number}") for number in range(5)]
    for value in values:
        slot.publish(value)
    assert slot.previous == (values[3],)
    assert slot.roll_back() is values[3]


def test_what_is_kept_for_rolling_back_stays_below_its_bound_together():
    slot = KnowledgeSlot()
    for number in range(HISTORY_LENGTH):
        slot.publish(large(f"{number}", size_bytes=MOST_EARLIER_BYTES // 3))
    assert [one.commit_id for one in slot.previous] == ["4", "5", "6"]


def test_commits_that_share_a_table_take_its_room_once():
    slot = KnowledgeSlot()
    for number in range(HISTORY_LENGTH):
        slot.publish(large(f"{number}", memory="shared"))
    assert len(slot.previous) == HISTORY_LENGTH - 1


def test_an_edit_that_is_undone_leaves_the_commit_before_to_roll_back_to():
    slot = KnowledgeSlot()
    before, now = large("0"), large("1")
    slot.publish(before)
    slot.publish(now)
    slot.publish(large("1", memory="edited", edited=["a.py"]), provisional=True)
    slot.publish(large("1", memory="edited again", edited=["a.py"]), provisional=True)
    slot.publish(now)
    assert slot.previous == (before,)
    assert slot.roll_back() is before
