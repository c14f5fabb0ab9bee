"""One request on its way through the engine, from the question to its one answer."""

import logging
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from code2lora_lsp.cancellation import Cancellation, Cancelled, Deadline
from code2lora_lsp.runtime.api import CompletionRequest, CompletionResult, NoCompletion, Reason
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """A request and its answer to come. Any thread may end it; the engine's works on it.

    Attributes:
        slot: what is current there when its turn comes is what answers it.
        superseded: set once a newer request for the same document came.
        submitted_s: on the clock of ``time.perf_counter``.
    """

    request: CompletionRequest
    slot: KnowledgeSlot | None
    deadline: Deadline
    future: "Future[CompletionResult]" = field(default_factory=Future)
    superseded: Cancellation = field(default_factory=Cancellation)
    submitted_s: float = field(default_factory=time.perf_counter)

    @property
    def uri(self) -> str:
        return self.request.document.uri

    def check(self) -> None:
        """Go on only while the answer is wanted.

        Raises:
            Cancelled: a newer request came, or whoever asked waits no longer.
        """
        self.superseded.check()
        self.request.cancellation.check()
        if self.future.cancelled():
            raise Cancelled("the answer is no longer awaited")

    def why_stopped(self, detail: str) -> NoCompletion:
        """The answer after ``check`` raised; ``detail`` is what it said."""
        if self.superseded.is_cancelled:
            return NoCompletion(Reason.SUPERSEDED)
        return NoCompletion(Reason.CANCELLED, detail)

    def resolve(self, result: CompletionResult) -> None:
        try:
            self.future.set_result(result)
        except InvalidStateError:  # the asker cancelled the future itself
            log.debug("an answer came after its future was cancelled")
