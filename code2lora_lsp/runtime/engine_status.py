"""What the engine tells others: its status, its reports, its errors in our words."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from code2lora_lsp.errors import DecodeFailed, EngineError, OutOfMemory
from code2lora_lsp.runtime.api import (
    CompletionResult,
    EngineState,
    Incident,
    NoCompletion,
    Timings,
)
from code2lora_lsp.runtime.model_loading import LoadedModel, ReportProgress


@dataclass(frozen=True)
class EngineStatus:
    """What the engine says about itself; a value, safe on any thread."""

    state: EngineState = EngineState.LOADING
    detail: str = ""
    backbone: str | None = None
    device: str | None = None
    dtype: str | None = None
    memory_bytes: int | None = None
    adapter_id: str | None = None
    last_timings: Timings | None = None
    last_empty_reason: str | None = None

    @classmethod
    def ready(cls, model: LoadedModel) -> "EngineStatus":
        """With a model that was loaded, and nothing bound to it."""
        return cls(
            EngineState.READY,
            backbone=model.name,
            device=str(model.backbone.device),
            dtype=str(model.backbone.dtype).removeprefix("torch."),
            memory_bytes=model.backbone.memory_bytes,
        )


@dataclass(frozen=True)
class EngineListener:
    """Where the engine reports to; called on its thread, so only hand over.

    Attributes:
        progress: while loading: message and percentage (0 to 100, or ``None``).
        changed: the state, not merely the last timings, is another one.
        incident: something the user should hear once.
    """

    progress: ReportProgress = lambda _message, _percentage: None
    changed: Callable[[EngineStatus], None] = lambda _status: None
    incident: Callable[[Incident], None] = lambda _incident: None


class StatusBoard:
    """An engine's status now, and its listener.

    Args:
        condition: the engine's: whoever holds it sees no other status meanwhile.
    """

    def __init__(self, listener: EngineListener, condition: threading.Condition) -> None:
        self._listener = listener
        self._condition = condition
        self._reported: set[str] = set()
        self.status = EngineStatus()

    @property
    def progress(self) -> ReportProgress:
        return self._listener.progress

    def show(self, status: EngineStatus) -> None:
        """Make it the status and say so."""
        with self._condition:
            self.status = status
        self._listener.changed(status)

    def tell(self) -> None:
        """Say what the status is, where it was set before."""
        self._listener.changed(self.status)

    def note(self, result: CompletionResult) -> None:
        """Remember the last timings, or why there was nothing."""
        with self._condition:
            if isinstance(result, NoCompletion):
                reason = result.reason.value
                self.status = replace(self.status, last_empty_reason=reason)
            else:
                self.status = replace(self.status, last_timings=result.timings)

    def report(self, message: str) -> None:
        """Tell of something that went wrong, the same thing once."""
        if message not in self._reported:
            self._reported.add(message)
            self._listener.incident(Incident(message, is_error=True))


def translated(error: Exception) -> EngineError:
    """Foreign exceptions of a decode in our words: the one place that does it."""
    if isinstance(error, EngineError):
        return error
    is_memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
    if is_memory:
        return OutOfMemory(
            "the device has no memory left for the model; choose a smaller model, fewer "
            "promptTokens, or model.device 'cpu'"
        )
    first_line = str(error).strip().partition("\n")[0]
    return DecodeFailed(f"decoding broke ({type(error).__name__}: {first_line})")
