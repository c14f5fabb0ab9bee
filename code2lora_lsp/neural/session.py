"""One backbone, one bound adapter and the KV cache that belongs to both.

Here lies the invariant "a KV cache belongs to one adapter": binding rebuilds the merged weights
and forgets every cached token in the same call, and the backbone refuses a pair that differs.
Tokens stay where both adapters, as the ledger's do, leave keys and values as the backbone's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.backbone import Backbone, Cache
from code2lora_lsp.neural.lora import LoraAdapter

CHUNK_TOKENS = 128
"""Most tokens computed between two calls of a caller's check."""


@dataclass(frozen=True)
class Fed:
    """What a prompt left behind.

    Attributes:
        logits: after its last token, [V] float32.
        reused_tokens: how many of its tokens were in the cache already.
    """

    logits: Tensor
    reused_tokens: int


class DecodeSession:
    """Feeds prompts and tokens to a backbone, reusing what the cache already holds.

    Not thread-safe: its owner is the engine's thread.
    """

    def __init__(self, backbone: Backbone, capacity_tokens: int) -> None:
        self.backbone = backbone
        self.capacity_tokens = min(capacity_tokens, backbone.max_positions)
        self._cache: Cache = backbone.new_cache(self.capacity_tokens)
        self._weights: Any = backbone.merged(None)
        self._adapter: LoraAdapter | None = None

    @property
    def adapter_id(self) -> str | None:
        return self._cache.adapter_id

    @property
    def tokens(self) -> tuple[int, ...]:
        """What the cache holds."""
        return tuple(self._cache.tokens)

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self._cache.capacity - len(self._cache.tokens)

    def bind(self, adapter: LoraAdapter | None) -> bool:
        """Make ``adapter`` the one in use; whether that changed anything.

        Raises:
            AdapterRejected: it does not fit this backbone; what was bound stays bound.
        """
        if (adapter.adapter_id if adapter else None) == self.adapter_id:
            return False
        if adapter is not None:
            self.backbone.check_fits(adapter)
        keeps = self.backbone.keeps_cache(self._adapter, adapter)
        self._weights, self._adapter = self.backbone.merged(None), None
        # should the merge fail half-way, the plain backbone is bound
        self._cache.rebind(None, keeps_tokens=keeps)
        self._weights = self.backbone.merged(adapter)
        self._cache.rebind(self._weights.adapter_id, keeps_tokens=keeps)
        self._adapter = adapter
        return True

    def restore(self) -> None:
        """After another session bound an adapter in the backbone's one second buffer."""
        self._weights = self.backbone.merged(self._adapter)

    def reset(self) -> None:
        """Trust nothing that is cached, after a failure of unknown extent. Allocates nothing."""
        self._cache.rebind(self.adapter_id)

    def feed(self, token_ids: Sequence[int], check: Callable[[], None]) -> Fed:
        """Make the cache hold exactly ``token_ids``; at least the last one is run again.

        Args:
            token_ids: the whole prompt, not empty and within the capacity.
            check: called before each chunk of at most ``CHUNK_TOKENS``; may raise to stop. The
                chunks done until then stay in the cache.
        """
        if not 0 < len(token_ids) <= self.capacity_tokens:
            raise ShapeMismatch(f"a prompt of {len(token_ids)} tokens for {self.capacity_tokens}")
        reused = min(_common_length(self._cache.tokens, token_ids), len(token_ids) - 1)
        check()
        self._cache.crop(reused)
        logits = None
        for start in range(reused, len(token_ids), CHUNK_TOKENS):
            check()
            chunk = token_ids[start : start + CHUNK_TOKENS]
            logits = self.backbone.prefill(chunk, self._cache, self._weights)
        assert logits is not None
        return Fed(logits, reused)

    def advance(self, token_id: int) -> Tensor:
        """Append one decoded token; logits after it, [V] float32."""
        return self.backbone.decode_one(token_id, self._cache, self._weights)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
