"""Where the next request is likely to come, so that its prompt is read before it does."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.runtime.api import CompletionRequest
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot

LONGEST_READING_S = 1.0
"""A model that takes longer would read whenever the cursor moves. It stops before the next chunk,
and what it read by then is kept."""


@dataclass(frozen=True)
class NextRequest:
    """A request that may come, and what is current there when it is read."""

    request: CompletionRequest
    slot: KnowledgeSlot | None


class Expected:
    """The newest one that has not come yet.

    It has no lock of its own: whoever changes it holds the engine's condition.
    """

    def __init__(self) -> None:
        self._next: NextRequest | None = None

    def put(self, following: NextRequest | None) -> None:
        """The cursor rests there; or a request came, and nothing is expected beside it."""
        self._next = following

    def take(self) -> NextRequest | None:
        """What to read now."""
        following, self._next = self._next, None
        return following

    def forget(self, slot: KnowledgeSlot) -> None:
        """The slot's repository is no longer followed."""
        if self._next is not None and self._next.slot is slot:
            self._next = None

    @property
    def is_waiting(self) -> bool:
        """Something is to be read."""
        return self._next is not None

    def reading_check(self, check: Callable[[], None]) -> Callable[[], None]:
        """``check``, which also raises once another one is expected or reading took too long."""
        until_s = time.monotonic() + LONGEST_READING_S

        def is_still_wanted() -> None:
            check()
            if self.is_waiting:
                raise Cancelled("the cursor moved on")
            if time.monotonic() > until_s:
                raise Cancelled("this model reads slowly")

        return is_still_wanted
