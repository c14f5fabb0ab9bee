"""The repositories whose news an engine hears of."""

import threading

from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot


class HeardSlots:
    """Slots that completions were asked or are expected with, and whether one has something new.

    Args:
        condition: the engine's, whose thread is woken by news. ``take_news`` is called with it
            held; the other methods take it themselves.
    """

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self._slots: tuple[KnowledgeSlot, ...] = ()
        self._active: KnowledgeSlot | None = None
        self.has_news = False

    @property
    def active(self) -> KnowledgeSlot | None:
        """Of the last request or expected place, unless that was without one or it was released."""
        return self._active

    def use(self, slot: KnowledgeSlot | None) -> Knowledge | None:
        """What is known there now. From here on the slot's news are heard."""
        with self._condition:
            self._active = slot
            is_new = slot is not None and slot not in self._slots
            if slot is not None and is_new:
                self._slots = (*self._slots, slot)
        if slot is not None and is_new:
            slot.listen(self._on_change)
        return slot.current if slot is not None else None

    def take_news(self) -> bool:
        """Whether something is new since the last call."""
        had_news, self.has_news = self.has_news, False
        return had_news

    def release(self, slot: KnowledgeSlot) -> None:
        """Hear no more of a slot."""
        slot.forget(self._on_change)
        with self._condition:
            self._slots = tuple(kept for kept in self._slots if kept is not slot)
            if self._active is slot:
                self._active = None

    def release_all(self) -> None:
        for slot in self._slots:
            slot.forget(self._on_change)

    def _on_change(self) -> None:
        with self._condition:
            self.has_news = True
            self._condition.notify_all()
