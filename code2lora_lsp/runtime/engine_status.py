"""What the engine tells others: its status, its reports, its errors in our words."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from code2lora_lsp.errors import DecodeFailed, EngineError, OutOfMemory
from code2lora_lsp.runtime.api import EngineState, Incident, Timings
from code2lora_lsp.runtime.model_loading import ReportProgress


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
