"""What the engine asks of a backbone: our decoder, or transformers for other architectures."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.lora import LoraAdapter

CHUNK_TOKENS = 64
"""Most tokens of a prompt computed in one pass, and so between two looks at whether it is still
wanted, on a CPU; ``runtime.tuning`` finds out how many a card computes as quickly."""


class Cache(Protocol):
    """Keys and values of ``tokens``, computed with one adapter. One thread owns it.

    Attributes:
        tokens: the token ids held, oldest first.
        adapter_id: adapter the entries were computed with; ``None`` is the plain backbone.
        capacity: most tokens it can hold.
    """

    tokens: list[int]
    adapter_id: str | None
    capacity: int

    def crop(self, length: int) -> None:
        """Keep the first ``length`` tokens."""

    def rebind(self, adapter_id: str | None, *, keeps_tokens: bool = False) -> None:
        """What follows is computed with ``adapter_id``; forget every token.

        With ``keeps_tokens`` they stay: see ``Backbone.keeps_cache``.
        """


class Backbone(LedgerBackbone, Protocol):
    """A frozen decoder. Its pristine weights are never written.

    ``weights`` and ``cache`` are only ever what the same object's ``merged`` and ``new_cache``
    returned; passing a cache of another adapter than the weights' is an ``AssertionError``. Logits
    are on ``device``; ``neural.reading`` brings them to the host, once for each token.

    Attributes:
        chunk_tokens: most tokens of a prompt that one pass should take.
        ahead_tokens: guesses worth running along with a token that was chosen; 0 is none.
    """

    device: torch.device
    dtype: torch.dtype
    vocabulary_size: int
    max_positions: int
    chunk_tokens: int
    ahead_tokens: int

    @property
    def memory_bytes(self) -> int:
        """Bytes of all weights held, the merged copy included."""

    def new_cache(self, capacity: int) -> Any:
        """An empty ``Cache`` for the plain backbone."""

    def check_fits(self, adapter: LoraAdapter) -> None:
        """Raise ``AdapterRejected`` unless every pair fits a projection."""

    def keeps_cache(self, before: LoraAdapter | None, after: LoraAdapter | None) -> bool:
        """Whether keys and values computed with one adapter are those of the other, bit by bit."""

    def merged(self, adapter: LoraAdapter | None) -> Any:
        """Weights with ``adapter`` in the second buffer; ``None`` is the pristine ones, no copy.

        There is one second buffer: an earlier result of ``merged`` changes with it and its
        ``adapter_id`` says so.
        """

    def prefill(self, token_ids: Sequence[int], cache: Any, weights: Any = None) -> Tensor:
        """Append ``token_ids`` to the cache; logits after the last of them, [V] float32."""

    def decode_one(self, token_id: int, cache: Any, weights: Any = None) -> Tensor:
        """Append one token; logits after it, [V] float32."""

    def decode_ahead(self, token_ids: Sequence[int], cache: Any, weights: Any = None) -> Tensor:
        """Append a token and guesses of what follows it, in one pass; logits after each, [T, V].

        Those after a guess are true if the guess is; float32.
        """

    def hidden_states(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Final-norm hidden states of the pristine backbone; see ``Decoder.hidden_states``."""
