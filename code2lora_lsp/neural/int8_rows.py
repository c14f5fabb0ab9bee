"""Matrices that are int8 with one scale per row to begin with, as the embedded models are stored.

``weights`` reads them as float32; here they are found again, exactly, for arithmetic that is
quicker on bytes. A backbone of other numbers has none: what would be rounded is not offered.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from code2lora_lsp.neural.decoder_weights import DecoderWeights
from code2lora_lsp.neural.weights import quantise_rows

TOLERANCE = 1e-6
"""Of a weight, relative to the largest of its row: dividing by a scale and multiplying again."""

ROWS_AT_ONCE = 512
"""A head has as many rows as tokens: its float32 copies should not all be there at once."""


@dataclass(frozen=True)
class Int8Rows:
    """W = levels · scales[:, None], [out, in].

    Attributes:
        levels: int8, [out, in], rows in one piece each.
        scales: float32, [out].
    """

    levels: Tensor
    scales: Tensor


@dataclass(frozen=True)
class Int8Layer:
    """The four matrices of a ``LayerWeights``."""

    qkv: Int8Rows
    out: Int8Rows
    gate_up: Int8Rows
    down: Int8Rows


@dataclass(frozen=True)
class Int8Weights:
    """Every matrix of a pristine ``DecoderWeights``; the embedding only where it is the head."""

    layers: tuple[Int8Layer, ...]
    head: Int8Rows

    @property
    def n_bytes(self) -> int:
        matrices = [getattr(layer, name) for layer in self.layers for name in vars(layer)]
        return sum(m.levels.numel() + 4 * m.scales.numel() for m in (*matrices, self.head))


def find_int8(pristine: DecoderWeights) -> Int8Weights | None:
    """The bytes behind ``pristine``; ``None`` where one matrix would not be the same numbers.

    Only float32 on the CPU is looked at.
    """
    if pristine.head.device.type != "cpu" or pristine.head.dtype != torch.float32:
        return None
    layers: list[Int8Layer] = []
    for layer in pristine.layers:
        found = [_exact_rows(matrix) for matrix in layer.matrices]
        if None in found:
            return None
        layers.append(Int8Layer(*found))  # type: ignore[arg-type]
    head = _exact_rows(pristine.head)
    return None if head is None else Int8Weights(tuple(layers), head)


def _exact_rows(matrix: Tensor) -> Int8Rows | None:
    """``matrix``, [out, in] float32, as bytes, if nothing is lost."""
    levels = torch.empty(matrix.shape, dtype=torch.int8)
    scales = torch.empty(len(matrix))
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = matrix[start : start + ROWS_AT_ONCE]
        here = slice(start, start + len(rows))
        levels[here], scales[here] = quantise_rows(rows)
        lost = (levels[here] * scales[here, None] - rows).abs().amax(1)
        if bool((lost > TOLERANCE * rows.abs().amax(1)).any()):
            return None
    return Int8Rows(levels, scales)
