"""Tokens that were read, with keys, values and logits, so that none of them is read twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from code2lora_lsp.neural.backbone import Backbone, Cache

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


class Reading:
    """One text as far as it was read. ``weights`` are always those its adapter was merged into."""

    def __init__(self, backbone: Backbone, capacity_tokens: int) -> None:
        self._backbone = backbone
        self._cache: Cache = backbone.new_cache(capacity_tokens)
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

    @property
    def n_held(self) -> int:
        """Tokens in the cache, also those beyond what was fed last."""
        return len(self._cache.tokens)

    def held(self, token_ids: Sequence[int]) -> int:
        """How many of the first tokens of a prompt the cache holds."""
        return _common_length(self._cache.tokens, token_ids)

    def rebind(self, adapter_id: str | None, *, keeps_tokens: bool = False) -> None:
        """What follows is computed with another adapter; see ``backbone.Cache``."""
        self._logits.clear()
        self._length = self._length if keeps_tokens else 0
        self._cache.rebind(adapter_id, keeps_tokens=keeps_tokens)

    def feed(self, token_ids: Sequence[int], weights: Any, check: Callable[[], None]) -> Fed:
        """See ``DecodeSession.feed``."""
        check()
        reused = self.held(token_ids)
        if reused == len(token_ids) and reused not in self._logits:
            reused -= 1
        self._length = reused
        for start in range(reused, len(token_ids), CHUNK_TOKENS):
            check()
            chunk = token_ids[start : start + CHUNK_TOKENS]
            self._crop()
            self._keep(self._backbone.prefill(chunk, self._cache, weights))
        return Fed(self._logits[len(token_ids)], reused)

    def advance(self, token_id: int, weights: Any) -> Tensor:
        """See ``DecodeSession.advance``."""
        is_held = self._cache.tokens[self._length : self._length + 1] == [token_id]
        if is_held and self._length + 1 in self._logits:
            self._length += 1
            return self._logits[self._length]
        self._crop()
        return self._keep(self._backbone.decode_one(token_id, self._cache, weights))

    def _crop(self) -> None:
        """Drop what the cache holds beyond the current length: other tokens come there."""
        if len(self._cache.tokens) > self._length:
            self._cache.crop(self._length)
            kept = {after: row for after, row in self._logits.items() if after <= self._length}
            self._logits = kept

    def _keep(self, logits: Tensor) -> Tensor:
        """Remember the logits after all that the cache holds; nobody writes to them."""
        self._length = len(self._cache.tokens)
        self._logits[self._length] = logits
        while len(self._logits) > self._most_logits:
            del self._logits[next(iter(self._logits))]
        return logits


def _common_length(first: list[int], second: Sequence[int]) -> int:
    """How many leading tokens two sequences share; by halving, as lists compare fast."""
    other = list(second)
    low, high = 0, min(len(first), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
