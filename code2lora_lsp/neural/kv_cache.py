"""Keys and values of the tokens that were read. Legend as in ``decoder``."""

import weakref

import torch
from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.decoder_config import DecoderConfig


class KvCache:
    """Preallocated keys and values, each [L, K, capacity, d]; see ``backbone.Cache``.

    They lie in memory of its own, or in a seat's while it sits there.
    """

    def __init__(
        self, config: DecoderConfig, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.keys, self.values = _entries(config, capacity, device, dtype)
        self._own = (self.keys, self.values)
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
            self.keys, self.values = self._own  # whatever went wrong with a seat's stays there
        self.adapter_id = adapter_id

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new entries behind the tokens held; all of this layer, [1, K, S, d] each.

        ``tokens`` grows only after the last layer, so a failure in between leaves no trace.
        """
        start, end = len(self.tokens), len(self.tokens) + keys.shape[2]
        self.keys[layer, :, start:end] = keys[0]
        self.values[layer, :, start:end] = values[0]
        return self.keys[None, layer, :, :end], self.values[None, layer, :, :end]

    def sit_down(self, seat: "Seat") -> bool:
        """Go on in the seat's memory, and whoever sits there in its own; ``False`` if too large."""
        if self.keys.data_ptr() == seat.keys.data_ptr():
            return True
        if self.capacity > seat.capacity:
            return False
        seat.clear()
        here = slice(self.capacity)
        self._move(seat.keys[:, :, here], seat.values[:, :, here])
        seat.taken_by(self)
        return True

    def stand_up(self) -> None:
        """Go on in memory of its own."""
        self._move(*self._own)

    def _move(self, keys: Tensor, values: Tensor) -> None:
        held = slice(len(self.tokens))
        keys[:, :, held].copy_(self.keys[:, :, held])
        values[:, :, held].copy_(self.values[:, :, held])
        self.keys, self.values = keys, values


class Seat:
    """Keys and values at one address, for one cache at a time; what was recorded looks here.

    Attributes:
        keys, values: [L, K, capacity, d]; finite everywhere, for what a mask hides is multiplied
            by 0.
        capacity: a multiple of ``ALIGNED_TOKENS``: fused attention wants masks laid out so.
    """

    ALIGNED_TOKENS = 64

    def __init__(
        self, config: DecoderConfig, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Room for caches of up to ``capacity`` tokens."""
        self.capacity = -(-capacity // self.ALIGNED_TOKENS) * self.ALIGNED_TOKENS
        self.keys, self.values = _entries(config, self.capacity, device, dtype)
        self._sitter: weakref.ref[KvCache] | None = None

    def clear(self) -> None:
        """Let whoever sits here go on in its own memory, and forget what it left."""
        sitter = self._sitter() if self._sitter else None
        if sitter is not None:  # one that nobody holds any more has left by itself
            sitter.stand_up()
        self._sitter = None
        self.keys.zero_()
        self.values.zero_()

    def taken_by(self, cache: KvCache) -> None:
        self._sitter = weakref.ref(cache)


def _entries(
    config: DecoderConfig, capacity: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    shape = (config.n_layers, config.n_kv_heads, capacity, config.head_dim)
    keys = torch.zeros(shape, device=device, dtype=dtype)
    return keys, torch.zeros_like(keys)
