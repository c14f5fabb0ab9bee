"""Keys and values of the tokens that were read. Legend as in ``decoder``."""

import torch
from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.decoder_config import DecoderConfig


class KvCache:
    """Preallocated keys and values, each [L, K, capacity, d]; see ``backbone.Cache``."""

    def __init__(
        self, config: DecoderConfig, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.n_layers, config.n_kv_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.capacity = capacity
        self.tokens: list[int] = []
        self.adapter_id: str | None = None

    def crop(self, length: int) -> None:
        if not 0 <= length <= len(self.tokens):
            raise ShapeMismatch(f"cannot keep {length} of {len(self.tokens)} cached tokens")
        del self.tokens[length:]

    def rebind(self, adapter_id: str | None, *, keeps_tokens: bool = False) -> None:
        if not keeps_tokens:
            self.tokens.clear()
        self.adapter_id = adapter_id

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new entries behind the tokens held; all of this layer, [1, K, S, d] each.

        ``tokens`` grows only after the last layer, so a failure in between leaves no trace.
        """
        start, end = len(self.tokens), len(self.tokens) + keys.shape[2]
        self.keys[layer, :, start:end] = keys[0]
        self.values[layer, :, start:end] = values[0]
        return self.keys[None, layer, :, :end], self.values[None, layer, :, :end]
