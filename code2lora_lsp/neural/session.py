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

CHUNK_TOKENS = 64
"""Most tokens computed between two calls of a caller's check."""

KEPT_LOGITS_BYTES = 4_000_000
"""Of logits kept for the newest tokens: 122 tokens' of the embedded model."""


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
        self._length = 0  # of what was fed and advanced; the cache may hold more, to hit again
        self._logits: dict[int, Tensor] = {}  # by the number of tokens they come after
        self._most_logits = max(1, KEPT_LOGITS_BYTES // (4 * backbone.vocabulary_size))

    @property
    def adapter_id(self) -> str | None:
        return self._cache.adapter_id

    @property
    def tokens(self) -> tuple[int, ...]:
        """What was fed and advanced since."""
        return tuple(self._cache.tokens[: self._length])

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self._cache.capacity - self._length

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
        self._logits.clear()
        self._length = self._length if keeps else 0
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
        self._logits.clear()
        self._length = 0
        self._cache.rebind(self.adapter_id)

    def missing(self, token_ids: Sequence[int]) -> int:
        """How many tokens of a prompt the cache does not hold."""
        return len(token_ids) - _common_length(self._cache.tokens, token_ids)

    def feed(self, token_ids: Sequence[int], check: Callable[[], None]) -> Fed:
        """Go on behind ``token_ids``; what the cache holds of them is not run again.

        Nor is the last one, if the logits after it are kept: those after a prompt and after each
        decoded token are, the newest, until another adapter is bound.

        Args:
            token_ids: the whole prompt, not empty and within the capacity.
            check: called before each chunk of at most ``CHUNK_TOKENS``; may raise to stop. The
                chunks done until then stay in the cache.
        """
        if not 0 < len(token_ids) <= self.capacity_tokens:
            raise ShapeMismatch(f"a prompt of {len(token_ids)} tokens for {self.capacity_tokens}")
        check()
        reused = _common_length(self._cache.tokens, token_ids)
        if reused == len(token_ids) and reused not in self._logits:
            reused -= 1
        self._length = reused
        for start in range(reused, len(token_ids), CHUNK_TOKENS):
            check()
            chunk = token_ids[start : start + CHUNK_TOKENS]
            self._crop()
            self._keep(self.backbone.prefill(chunk, self._cache, self._weights))
        return Fed(self._logits[len(token_ids)], reused)

    def advance(self, token_id: int) -> Tensor:
        """Append one decoded token; logits after it, [V] float32.

        Without running it, if it was decoded here before: decoding goes where it went.
        """
        is_held = self._cache.tokens[self._length : self._length + 1] == [token_id]
        if is_held and self._length + 1 in self._logits:
            self._length += 1
            return self._logits[self._length]
        self._crop()
        return self._keep(self.backbone.decode_one(token_id, self._cache, self._weights))

    def _crop(self) -> None:
        """Drop what the cache holds beyond the current length: other tokens come there."""
        self._cache.crop(self._length)
        self._logits = {after: row for after, row in self._logits.items() if after <= self._length}

    def _keep(self, logits: Tensor) -> Tensor:
        """Remember the logits after all that the cache holds; nobody writes to them."""
        self._length = len(self._cache.tokens)
        self._logits[self._length] = logits
        while len(self._logits) > self._most_logits:
            del self._logits[next(iter(self._logits))]
        return logits


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
