"""Trained weights to the per-row int8 format of ``neural.weights``: a quarter of the bytes."""

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from code2lora_lsp.neural.weights import ROW_SCALE_SUFFIX, quantise_rows

INT8_ROWS = "int8-rows"


def quantised(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with their row scales; vectors (norms, biases) float32 and unchanged."""
    stored: dict[str, Tensor] = {}
    for name, tensor in sorted(weights.items()):
        if tensor.dim() == 2:
            stored[name], stored[name + ROW_SCALE_SUFFIX] = quantise_rows(tensor.float())
        else:
            stored[name] = tensor.float().contiguous()
    return stored


def save_quantised(weights: dict[str, Tensor], path: Path) -> None:
    """Write ``weights`` in the int8 format to ``path``."""
    save_file(quantised(weights), path, metadata={"format": "pt", "quantisation": INT8_ROWS})
