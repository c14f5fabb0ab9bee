"""One backbone, one bound adapter and the KV caches that belong to both.

Here lies the invariant "a KV cache belongs to one adapter": binding rebuilds the merged weights
and forgets every cached token in the same call, and the backbone refuses a pair that differs.
Tokens stay where both adapters, as the ledger's do, leave keys and values as the backbone's.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from code2lora_lsp.errors import ShapeMismatch
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.reading import Fed, Guess, Reading

N_READINGS = 3
"""Texts kept apart. With the suffix first, a bracket that the editor closes behind the cursor makes
another text; when it is typed over, the one before comes back."""


class DecodeSession:
    """Feeds prompts and tokens to a backbone, reusing what was read before.

    Not thread-safe: its owner is the engine's thread.
    """

    def __init__(self, backbone: Backbone, capacity_tokens: int) -> None:
        self.backbone = backbone
        self.capacity_tokens = min(capacity_tokens, backbone.max_positions)
        self._now = Reading(backbone, self.capacity_tokens)
        self._readings = [self._now]  # the one fed last stands last
        self._weights: Any = backbone.merged(None)
        self._adapter: LoraAdapter | None = None

    @property
    def adapter_id(self) -> str | None:
        return self._now.adapter_id

    @property
    def tokens(self) -> tuple[int, ...]:
        """What was fed and advanced since."""
        return self._now.tokens

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self._now.room

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
        self._rebind(None, keeps_tokens=keeps)
        self._weights = self.backbone.merged(adapter)
        self._rebind(self._weights.adapter_id, keeps_tokens=keeps)
        self._adapter = adapter
        return True

    def restore(self) -> None:
        """After another session bound an adapter in the backbone's one second buffer."""
        self._weights = self.backbone.merged(self._adapter)

    def reset(self) -> None:
        """Trust nothing that is cached, after a failure of unknown extent. Allocates nothing."""
        self._rebind(self.adapter_id)

    def missing(self, token_ids: Sequence[int]) -> int:
        """How many tokens of a prompt were not read yet."""
        return len(token_ids) - max(reading.held(token_ids) for reading in self._readings)

    def feed(self, token_ids: Sequence[int], check: Callable[[], None]) -> Fed:
        """Go on behind ``token_ids``; what was read of them is not run again.

        Nor is the last one, if the logits after it are kept: those after a prompt and after each
        decoded token are, the newest, until another adapter is bound.

        Args:
            token_ids: the whole prompt, not empty and within the capacity.
            check: called before each chunk of the backbone's ``chunk_tokens``; may raise to stop.
                The chunks done until then stay in the cache.
        """
        if not 0 < len(token_ids) <= self.capacity_tokens:
            raise ShapeMismatch(f"a prompt of {len(token_ids)} tokens for {self.capacity_tokens}")
        self._now = self._reading_for(token_ids)
        return self._now.feed(token_ids, self._weights, check)

    def advance(self, token_id: int, guess: Guess = tuple) -> Tensor:
        """Append one decoded token; logits after it, [V] float32, on the host.

        Without running it, if it was decoded here before: decoding goes where it went, or where
        it was guessed to go. So guesses change how many passes are run, and nothing else: a wrong
        one is cropped when another token is appended.

        Args:
            token_id: of the token.
            guess: what may follow it; asked only if the token has to be run, to be run with it.
        """
        return self._now.advance(token_id, self._weights, guess)

    def _reading_for(self, token_ids: Sequence[int]) -> Reading:
        """The one that holds most of a prompt; for a text of its own, a new one or the oldest."""
        found = max(self._readings, key=lambda reading: reading.held(token_ids))
        if 2 * found.held(token_ids) < min(found.n_held, len(token_ids)):
            if len(self._readings) < N_READINGS:
                found = Reading(self.backbone, self.capacity_tokens)
                found.rebind(self.adapter_id)
                self._readings.append(found)
            else:
                found = self._readings[0]
        self._readings.remove(found)
        self._readings.append(found)
        return found

    def _rebind(self, adapter_id: str | None, *, keeps_tokens: bool = False) -> None:
        for reading in self._readings:
            reading.rebind(adapter_id, keeps_tokens=keeps_tokens)
