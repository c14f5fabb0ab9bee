"""Backbone weights on disk: ordinary Hugging Face safetensors, or our per-row int8 format.

int8 format: a matrix ``name`` [out, in] is stored as int8 under its own name, with
``name.row_scale`` [out] float32 beside it; W = int8 · row_scale[:, None]. Vectors stay float32.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ModelMissing

ROW_SCALE_SUFFIX = ".row_scale"
LARGEST_INT8 = 127


def load_backbone_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a model folder under their Hugging Face state-dict names, on the CPU.

    int8 matrices come back as float32; everything else in the dtype it is stored in.
    The head of a model with tied embeddings is left out.

    Raises:
        ModelMissing: there is no ``model.safetensors``, neither whole nor in parts.
        ModelMismatch: a file is damaged, or an int8 matrix has no scales.
    """
    stored: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        stored |= _read(path)
    if _has_tied_embeddings(folder):
        stored.pop("lm_head.weight", None)
    return {
        name: _dequantised(name, tensor, stored)
        for name, tensor in stored.items()
        if not name.endswith(ROW_SCALE_SUFFIX)
    }


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelMismatch(f"{path} is not a whole safetensors file: {error}") from error


def quantise_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 with one scale per row.

    Args:
        matrix: [out, in] float32.

    Returns:
        int8 [out, in] and scales [out] float32; a row of zeros has scale 1.
    """
    scale = matrix.abs().amax(1) / LARGEST_INT8
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (matrix / scale[:, None]).round().to(torch.int8), scale


def _dequantised(name: str, tensor: Tensor, stored: dict[str, Tensor]) -> Tensor:
    """W = int8 · scale, [out, in] float32; a tensor of another dtype is returned as it is."""
    if tensor.dtype != torch.int8:
        return tensor
    scale = stored.get(name + ROW_SCALE_SUFFIX)
    if scale is None or scale.shape != tensor.shape[:1]:
        raise ModelMismatch(f"{name} is stored as int8, but its row scales are absent or misshapen")
    return tensor.float() * scale.float()[:, None]


def _weight_files(folder: Path) -> list[Path]:
    """The one file, or the parts that the index names."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = [folder / part for part in sorted(set(parts))]
    else:
        files = [folder / "model.safetensors"]
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        raise ModelMissing(f"{folder} lacks {', '.join(absent)}")
    return files


def _has_tied_embeddings(folder: Path) -> bool:
    config = folder / "config.json"
    if not config.is_file():
        return False
    return bool(json.loads(config.read_text(encoding="utf-8")).get("tie_word_embeddings", False))
