"""Matrix products of many tokens on bytes, by FBGEMM as torch ships it.

A backbone that is int8 to begin with (``int8_rows``) is multiplied thrice as fast so. Its weights
are exact; activations are rounded to 8 bits for each product, with one scale per token where
tokens differ much. That costs 0.001 nats per token, and the embedded model's likeliest token stays
the same in 98.5 of 100 places (docs/adr/0004). Only the engine reads prompts this way, commits'
lines that it scores among them; the benchmark, what is written and what is embedded are computed
in float32.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.neural.decoder_weights import DecoderWeights
from code2lora_lsp.neural.int8_rows import Int8Rows, Int8Weights

Product = Callable[[Tensor, Tensor], Tensor]
"""x [..., in] and a matrix [out, in] of the weights → [..., out]."""

FIELDS = ("qkv", "out", "gate_up", "down")
_PER_TOKEN = ("out", "down")
"""Inputs that no norm has brought to one size."""

_SMALLEST = 1e-9
_FROM_BYTES = "_make_per_channel_quantized_tensor"
_HAS_VNNI = "_is_vnni_supported"
"""torch has no public names for these two."""


def can_multiply_int8() -> bool:
    """Whether this torch and this processor have FBGEMM, and its way to take bytes.

    torch has announced to take that way out; then prompts are read in float32 as elsewhere.
    ``torch._int_mm``, which stays, takes a third longer with the rounding around it.
    """
    has_bytes = hasattr(torch, _FROM_BYTES) and hasattr(torch.cpu, _HAS_VNNI)
    has_bytes = has_bytes and hasattr(torch.ops.quantized, "linear_dynamic")
    return has_bytes and "fbgemm" in torch.backends.quantized.supported_engines


@dataclass(frozen=True)
class _Packed:
    matrix: Any
    is_per_token: bool


class Int8Products:
    """The pristine matrices packed for FBGEMM. Owner: the engine's thread."""

    def __init__(self, int8: Int8Weights) -> None:
        self._packed = [
            {name: _Packed(_pack(getattr(layer, name)), name in _PER_TOKEN) for name in FIELDS}
            for layer in int8.layers
        ]
        self._products: dict[int, tuple[DecoderWeights, str | None, Product]] = {}
        # without VNNI, sums of two products saturate at 16 bits
        self._reduces_range = not getattr(torch.cpu, _HAS_VNNI)()

    def of(self, weights: DecoderWeights) -> Product:
        """The product for these weights; matrices that an adapter changed stay float32."""
        known = self._products.get(id(weights))
        if known is None or known[1] != weights.adapter_id:
            packed = {
                id(getattr(layer, name)): by_name[name]
                for index, (layer, by_name) in enumerate(
                    zip(weights.layers, self._packed, strict=True)
                )
                for name in FIELDS
                if name not in weights.adapted_in(index)
            }
            known = (weights, weights.adapter_id, self._product(packed))
            self._products[id(weights)] = known
        return known[2]

    def _product(self, packed: Mapping[int, _Packed]) -> Product:
        multiply, reduces_range = torch.ops.quantized.linear_dynamic.default, self._reduces_range

        def product(x: Tensor, matrix: Tensor) -> Tensor:
            found = packed.get(id(matrix))
            if found is None:
                return F.linear(x, matrix)
            if not found.is_per_token:
                y: Tensor = multiply(x, found.matrix, reduces_range)
                return y
            size = x.abs().amax(-1, keepdim=True).clamp_(min=_SMALLEST)
            y = multiply(x / size, found.matrix, reduces_range)
            return y.mul_(size)

        return product


def _pack(rows: Int8Rows) -> Any:
    zero_points = torch.zeros(len(rows.scales), dtype=torch.long)
    with warnings.catch_warnings():  # see can_multiply_int8
        warnings.simplefilter("ignore", UserWarning)
        quantised = getattr(torch, _FROM_BYTES)(rows.levels, rows.scales.double(), zero_points, 0)
    return torch.ops.quantized.linear_prepack(quantised, None)
