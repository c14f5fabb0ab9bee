"""Tokens that were read, with keys, values and logits, so that none of them is read twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from code2lora_lsp.neural.backbone import Backbone, Cache

Guess = Callable[[], Sequence[int]]
"""Token ids that may come next, asked for only when a pass is run anyway."""

KEPT_LOGITS_BYTES = 4_000_000
"""Of logits kept for the newest tokens: 122 tokens' of the embedded model."""


@dataclass(frozen=True)
class Fed:
    """What a prompt left behind.

    Attributes:
        logits: after its last token, [V] float32, on the host.
        reused_tokens: how many of its tokens were in the cache already.
    """

    logits: Tensor
    reused_tokens: int


class Reading:
    """One text as far as it was read. ``weights`` are always those its adapter was merged into.

    Logits are handed out on the host, where they are mixed and chosen from: of a card one transfer
    for each token that is asked about, and one wait.
    """

    def __init__(self, backbone: Backbone, capacity_tokens: int) -> None:
        self._backbone = backbone
        self._cache: Cache = backbone.new_cache(capacity_tokens)
        self._length = 0  # of what was fed and advanced; the cache may hold more, to hit again
        self._logits: dict[int, Tensor] = {}  # by the number of tokens they come after

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
        for start in range(reused, len(token_ids), self._backbone.chunk_tokens):
            check()
            chunk = token_ids[start : start + self._backbone.chunk_tokens]
            self._crop()
            self._keep([self._backbone.prefill(chunk, self._cache, weights)])
            self._length += len(chunk)
        return Fed(self._handed_out(), reused)

    def advance(self, token_id: int, weights: Any, guess: Guess = tuple) -> Tensor:
        """See ``DecodeSession.advance``."""
        is_held = self._cache.tokens[self._length : self._length + 1] == [token_id]
        if not is_held or self._length + 1 not in self._logits:
            self._crop()
            most = min(self._backbone.ahead_tokens, self.room - 1)
            if most > 0 and (guessed := guess()[:most]):
                ids = (token_id, *guessed)
                self._keep(self._backbone.decode_ahead(ids, self._cache, weights))
            else:
                self._keep([self._backbone.decode_one(token_id, self._cache, weights)])
        self._length += 1
        return self._handed_out()

    def _crop(self) -> None:
        """Drop what the cache holds beyond the current length: other tokens come there."""
        if len(self._cache.tokens) > self._length:
            self._cache.crop(self._length)
            kept = {after: row for after, row in self._logits.items() if after <= self._length}
            self._logits = kept

    def _keep(self, rows: Sequence[Tensor] | Tensor) -> None:
        """Remember the logits after the newest tokens of the cache; nobody writes to them."""
        n_tokens = len(self._cache.tokens)
        self._logits |= dict(enumerate(rows, n_tokens - len(rows) + 1))
        most = KEPT_LOGITS_BYTES // (4 * self._backbone.vocabulary_size)
        most = max(most, 2 + self._backbone.ahead_tokens)
        while len(self._logits) > most:
            del self._logits[next(iter(self._logits))]

    def _handed_out(self) -> Tensor:
        """Logits at the current length."""
        logits = self._logits[self._length] = _on_host(self._logits[self._length])
        return logits


def _on_host(logits: Tensor) -> Tensor:
    if logits.device.type == "cpu":
        return logits
    pinned = torch.empty(logits.shape, dtype=logits.dtype, pin_memory=True)
    return pinned.copy_(logits)  # pinned memory is kept for the next one, and filled directly


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
