"""A pretraining checkpoint: safetensors for weights and optimizer state, JSON for the rest.

Nothing is pickled.
"""

import dataclasses
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from code2lora_lsp.training.packing import StreamState

FORMAT = "code2lora-pretraining-1"


@dataclasses.dataclass
class Progress:
    """Counters of a run, and where each rank's stream stands."""

    model: str
    n_steps: int = 0
    n_tokens: int = 0
    elapsed_s: float = 0.0
    heldout_nats: float | None = None
    streams: list[StreamState] = dataclasses.field(default_factory=list)


def save_checkpoint(
    folder: Path, weights: dict[str, Tensor], optimizer: dict[str, Tensor], progress: Progress
) -> None:
    """Write ``folder`` so that it is either the old checkpoint or the whole new one."""
    fresh, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()}, fresh / "model.safetensors"
    )
    save_file(optimizer, fresh / "optimizer.safetensors")
    document = {"format": FORMAT} | dataclasses.asdict(progress)
    (fresh / "progress.json").write_text(json.dumps(document, indent=1) + "\n")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def read_progress(folder: Path) -> Progress:
    """Read the counters of a checkpoint.

    Raises:
        ValueError: the folder holds another format.
    """
    document = json.loads((folder / "progress.json").read_text())
    if document.pop("format") != FORMAT:
        message = f"{folder} is not a {FORMAT} checkpoint"
        raise ValueError(message)
    streams = [StreamState(**stream) for stream in document.pop("streams")]
    return Progress(**document, streams=streams)


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Read (weights, optimizer state) of a checkpoint, on the CPU."""
    return load_file(folder / "model.safetensors"), load_file(folder / "optimizer.safetensors")
