"""A slot and the status beside it: they never contradict one another."""

from pathlib import Path

import pytest

from code2lora_lsp.history.head import Head
from code2lora_lsp.runtime.api import FollowState
from code2lora_lsp.runtime.follower import FollowPoint
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.publication import Publication
from tests.fakes import random_adapter
from tests.runtime.running_engine import known


class Published:
    def __init__(self):
        self.seen = []
        self.it = Publication(Path("/repo"), KnowledgeSlot(), self._on_change)

    def _on_change(self):
        self.seen.append(self.it.status)

    def put(self, seed, **status):
        knowledge = known(random_adapter(seed=seed))
        self.it.put(knowledge, is_provisional=False, **status)
        return knowledge


@pytest.fixture
def published():
    return Published()


def test_the_status_says_what_is_in_the_slot(published):
    first = published.put(1, state=FollowState.CURRENT)
    assert published.it.slot.current is first
    assert published.it.status.adapter_id == first.adapter_id
    assert published.it.status.knowledge_id == first.knowledge_id
    assert published.it.status.state is FollowState.CURRENT
    assert published.it.status.drift is None
    second = published.put(2)
    assert published.it.status.drift == pytest.approx(second.drift_from(first))
    assert published.seen[-1] is published.it.status


def test_what_was_rolled_back_to_stays_until_it_is_unpinned(published):
    first = published.put(1)
    published.put(2)
    assert published.it.roll_back() is first
    published.put(3)
    assert published.it.slot.current is first
    assert published.it.status.state is FollowState.PINNED
    assert published.it.status.adapter_id == first.adapter_id
    published.it.unpin()
    third = published.put(3, state=FollowState.CURRENT)
    assert published.it.slot.current is third


def test_nothing_to_roll_back_to_pins_nothing(published):
    published.put(1, state=FollowState.CURRENT)
    assert published.it.roll_back() is None
    assert not published.it.is_pinned
    assert published.it.status.state is FollowState.CURRENT


def test_a_new_head_is_not_current(published):
    published.it.show_head(Head("a" * 40, "main"))
    published.put(1, state=FollowState.CURRENT, commits_behind=0)
    published.it.show_head(Head("a" * 40, "main"))
    assert published.it.status.state is FollowState.CURRENT
    published.it.show_head(Head("b" * 40, "main"))
    assert published.it.status.state is FollowState.FOLLOWING
    assert published.it.status.commits_behind is None


def test_how_far_behind_is_not_shown_while_pinned(published):
    published.put(1)
    published.put(2)
    published.it.roll_back()
    published.it.show_behind(FollowPoint("a" * 40, 2, 3, "commit", lambda: None))
    assert published.it.status.state is FollowState.PINNED
    published.it.unpin()
    published.it.show_behind(FollowPoint("a" * 40, 2, 3, "commit", lambda: None))
    assert published.it.status.state is FollowState.FOLLOWING
    assert published.it.status.commits_behind == 2
