"""Checkpoint folders: trained hypernetwork weights with a manifest that says what they fit.

    model.safetensors    all weights in one file, keys ``gru.<upstream key>`` (Evo only) and
                         ``head.<upstream key>``; float32, float16 or bfloat16, read as float32
    manifest.json        format, kind, recipe, encoder, backbone, configurations, SHA-256

The weights are replaced first and the manifest last, each atomically: a folder caught in between
is refused by its hash, never half used.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.atomic_file import replacing
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru
from code2lora_lsp.neural.code2lora.lora_head import LoraHead
from code2lora_lsp.neural.code2lora.manifest import (
    CheckpointManifest,
    check_manifest,
    read_manifest,
    write_manifest,
)

WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class Code2LoraCheckpoint:
    """Trained modules in eval mode with their manifest. ``gru`` is ``None`` for Static."""

    manifest: CheckpointManifest
    head: LoraHead
    gru: CommitGru | None = None

    @property
    def checkpoint_id(self) -> str:
        """16 hex digits of the weights' SHA-256; empty for one that was never saved."""
        return self.manifest.weights_sha256[:16]


def save_checkpoint(
    folder: Path, checkpoint: Code2LoraCheckpoint, dtype: torch.dtype = torch.float32
) -> CheckpointManifest:
    """Write a checkpoint folder; the manifest returned names the hash of what was written.

    Raises:
        ModelMismatch: manifest and modules contradict each other.
        OSError: the folder cannot be written.
    """
    tensors = {f"head.{k}": v.to(dtype) for k, v in checkpoint.head.state_dict().items()}
    if checkpoint.gru is not None:
        tensors |= {f"gru.{k}": v.to(dtype) for k, v in checkpoint.gru.state_dict().items()}
    return write_checkpoint(folder, checkpoint.manifest, tensors)


def write_checkpoint(
    folder: Path, manifest: CheckpointManifest, tensors: Mapping[str, Tensor]
) -> CheckpointManifest:
    """Write weights that are already in our naming, without building modules from them."""
    check_manifest(manifest, where=str(folder))
    check_shapes(tensors, manifest, where=str(folder))
    with replacing(folder / WEIGHTS_NAME) as temporary:
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary)
        manifest = replace(manifest, weights_sha256=file_sha256(temporary))
    write_manifest(folder, manifest)
    return manifest


def load_checkpoint(folder: Path) -> Code2LoraCheckpoint:
    """Read and verify a checkpoint folder. Float32 weights stay mapped from the file.

    Raises:
        ModelMissing: the folder, its manifest or its weights are not there.
        ModelMismatch: other format, unknown recipe, hash or shapes that contradict the manifest.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise ModelMissing(f"{folder} holds no {WEIGHTS_NAME}; copy or import the checkpoint again")
    seen = file_sha256(path)
    if seen != manifest.weights_sha256:
        raise ModelMismatch(
            f"{path} has SHA-256 {seen[:12]}…, its manifest says "
            f"{manifest.weights_sha256[:12]}…; copy or import the checkpoint again"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ModelMismatch(f"{path} is not a safetensors file: {error}") from error
    check_shapes(tensors, manifest, where=str(path))
    with torch.device("meta"):
        head = LoraHead(manifest.head)
        gru = None if manifest.gru is None else CommitGru(manifest.gru)
    _assign(head, "head.", tensors)
    if gru is not None:
        _assign(gru, "gru.", tensors)
    return Code2LoraCheckpoint(manifest, head, gru)


def check_shapes(
    tensors: Mapping[str, Tensor], manifest: CheckpointManifest, *, where: str
) -> None:
    """Refuse tensors that are not exactly the ones the configurations call for.

    Raises:
        ModelMismatch: absent, surplus, misshapen or non-floating tensors.
    """
    with torch.device("meta"):
        wanted = {f"head.{k}": v.shape for k, v in LoraHead(manifest.head).state_dict().items()}
        if manifest.gru is not None:
            gru = CommitGru(manifest.gru)
            wanted |= {f"gru.{k}": v.shape for k, v in gru.state_dict().items()}
    wrong = [f"no {key}" for key in wanted if key not in tensors]
    wrong += [f"unexpected {key}" for key in tensors if key not in wanted]
    for key in wanted.keys() & tensors.keys():
        seen = tensors[key]
        if seen.shape != wanted[key] or not seen.is_floating_point():
            wrong.append(f"{key} is {seen.dtype} {list(seen.shape)}, not {list(wanted[key])}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelMismatch(
            f"{where}: weights do not fit their configuration: {'; '.join(sorted(wrong)[:3])}{more}"
        )


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def _assign(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Give a module made on the meta device its tensors, without a copy where they are float32."""
    state = {k.removeprefix(prefix): t.float() for k, t in tensors.items() if k.startswith(prefix)}
    module.load_state_dict(state, assign=True)
    module.eval()
