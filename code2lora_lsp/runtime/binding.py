"""A loaded model, and the one knowledge that is bound to it."""

import logging
from collections.abc import Callable
from dataclasses import replace

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.config import CompletionSettings
from code2lora_lsp.errors import AdapterRejected
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.api import CompletionRequest, NoCompletion, Reason
from code2lora_lsp.runtime.completer import Completer
from code2lora_lsp.runtime.engine_status import StatusBoard, translated
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.knowledge_slot import KnowledgeSlot
from code2lora_lsp.runtime.model_loading import LoadedModel

log = logging.getLogger(__name__)


class Binding:
    """What completions are made with: a model's session and completer, one knowledge in both.

    Belongs to the engine's thread.

    Args:
        model: what is bound to.
        settings: how much room prompts and completions have.
        board: shows which adapter is in force, and tells of what cannot be used.

    Raises:
        ModelMismatch: the model cannot complete with these settings.
    """

    def __init__(
        self, model: LoadedModel, settings: CompletionSettings, board: StatusBoard
    ) -> None:
        self.model = model
        self.session = DecodeSession(model.backbone, settings.prompt_tokens + settings.max_tokens)
        self.completer = Completer(
            self.session, model.tokenizer, model.order, settings, model.confidence
        )
        self._board = board
        self._bound: Knowledge | None = None
        self._unfit: set[str] = set()

    @property
    def commit_id(self) -> str | None:
        """What the bound knowledge stands for."""
        return self._bound.commit_id if self._bound else None

    def try_out(self, check: Callable[[], None]) -> None:
        """Run the model once: its first pass takes longer than the others."""
        self.session.feed([self.model.tokenizer.fim_tokens().end_of_text] * 8, check)
        self.session.reset()

    def bind(self, knowledge: Knowledge | None) -> None:
        """Bind both parts of ``knowledge``; without its adapter if that is unfit.

        Drops what was cached and is not true any more.
        """
        adapter = knowledge.adapter if knowledge else None
        if adapter is not None and adapter.adapter_id in self._unfit:
            adapter = None
        try:
            changed = self.session.bind(adapter)
        except (AdapterRejected, MemoryError, RuntimeError) as error:
            assert adapter is not None
            self._unfit.add(adapter.adapter_id)
            cause = error if isinstance(error, AdapterRejected) else translated(error)
            self._board.report(f"adapter {adapter.adapter_id} cannot be used: {cause}")
            changed = True
            self.session.bind(None)
        self.completer.bind(knowledge.sharp if knowledge else None)
        self._bound = knowledge
        if changed:
            self.completer.forget()
            memory_bytes = self.model.backbone.memory_bytes
            adapter_id = self.session.adapter_id
            status = replace(self._board.status, adapter_id=adapter_id, memory_bytes=memory_bytes)
            self._board.show(status)

    def warm_again(self, slot: KnowledgeSlot, check: Callable[[], None]) -> None:
        """Bind what is new and compute the last prompt again, until ``check`` raises."""

        def work() -> None:
            self.bind(slot.current)
            self.completer.warm_again(check)

        self._while_idle(work)

    def prepare(self, check: Callable[[], None]) -> None:
        """After an answer: be ready for the next request, until ``check`` raises."""
        self._while_idle(lambda: self.completer.prepare(check))

    def read(
        self, knowledge: Knowledge | None, request: CompletionRequest, check: Callable[[], None]
    ) -> None:
        """Bind ``knowledge`` and read what ``request`` would ask about, until ``check`` raises."""

        def work() -> None:
            self.bind(knowledge)
            self.completer.read(request, check)

        self._while_idle(work)

    def recover(self, error: Exception) -> NoCompletion:
        """Tell of ``error`` once and go on with nothing cached."""
        failure = translated(error)
        log.error("a completion failed", exc_info=error)
        self.session.reset()
        self.completer.forget()
        self._board.report(str(failure))
        return NoCompletion(Reason.BROKEN, str(failure))

    def _while_idle(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled as stopped:
            log.debug("getting ready was stopped: %s", stopped)
        except Exception as error:  # noqa: BLE001 - whatever broke, the thread goes on
            self.recover(error)
