"""What is published of one repository, and the status that says so."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.history.head import Head
from code2lora_lsp.runtime.api import FollowState, RepositoryStatus
from code2lora_lsp.runtime.follower import FollowPoint
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot


class Publication:
    """A slot and a status that agree; its tracker's thread publishes, any thread rolls back.

    ``_lock`` makes publishing and rolling back exclude each other.

    Args:
        root: work-tree root.
        slot: where knowledge is published; nobody else writes there.
        on_change: called after every change of ``status``; it must only hand over.
    """

    def __init__(self, root: Path, slot: KnowledgeSlot, on_change: Callable[[], None]) -> None:
        self.slot = slot
        self.status = RepositoryStatus(root=str(root), state=FollowState.WAITING)
        self._on_change = on_change
        self._is_pinned = False
        self._lock = threading.RLock()

    @property
    def is_pinned(self) -> bool:
        """Rolled back by hand: what is followed is not published."""
        return self._is_pinned

    def put(self, knowledge: Knowledge, *, is_provisional: bool, **status: object) -> None:
        """Publish, unless an older value is pinned, and say so."""
        with self._lock:
            if self._is_pinned:
                return
            drift, previous = self.status.drift, self.slot.current
            self.slot.publish(knowledge, provisional=is_provisional)
            if previous is not None and previous.adapter_id != knowledge.adapter_id:
                drift = knowledge.drift_from(previous)
            self.show(**_facts(knowledge), drift=drift, **status)

    def roll_back(self) -> Knowledge | None:
        """Publish what was known before and pin it; ``None`` if there is nothing."""
        with self._lock:
            knowledge = self.slot.roll_back()
            if knowledge is not None:
                self._is_pinned = True
                self.show(**_facts(knowledge))
                self.show_pinned()
        return knowledge

    def unpin(self) -> None:
        with self._lock:
            self._is_pinned = False

    def show(self, **changes: object) -> None:
        """Change the status."""
        with self._lock:
            self.status = replace(self.status, **changes)  # type: ignore[arg-type]  # names checked by replace
        self._on_change()

    def show_head(self, head: Head) -> None:
        """A new HEAD is not current before its run has said so."""
        with self._lock:
            has_moved = head.commit_id != self.status.head
            if has_moved and self.status.state is FollowState.CURRENT:
                self.show(state=FollowState.FOLLOWING, commits_behind=None)
            self.show(head=head.commit_id, branch=head.branch)

    def show_pinned(self) -> None:
        """How far behind is not counted, and nothing is followed."""
        detail = "rolled back by hand; refresh to follow HEAD again"
        self.show(state=FollowState.PINNED, commits_behind=None, detail=detail)

    def show_behind(self, point: FollowPoint) -> None:
        """How much of a run is left, while something is."""
        with self._lock:
            if point.behind and not self._is_pinned:
                self.show(state=FollowState.FOLLOWING, commits_behind=point.commits_behind)


def _facts(knowledge: Knowledge) -> dict[str, object]:
    """What a status says of the knowledge in force."""
    return {
        "adapter_id": knowledge.adapter_id, "adapter_commit": knowledge.commit_id,
        "knowledge_id": knowledge.knowledge_id, "memory_id": knowledge.memory_id,
        "edited_files": len(knowledge.edited),
    }  # fmt: skip
