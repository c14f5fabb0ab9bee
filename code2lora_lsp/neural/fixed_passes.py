"""Passes of one or a few tokens over memory that never moves, so that CUDA can replay them.

Launching the kernels of a pass one by one takes longer than running them on a card, when the
pass is one token. A CUDA graph launches all of them at once, but reads and writes the very
addresses, and uses the very numbers, that it was recorded with. So what changes from token to
token lies in memory here: ids and position, and the mask is made from the position. Weights are
one of a decoder's two buffers, and an adapter is merged into the second in place, so binding one
needs no new recording.

Keys and values lie in one place too, and texts take turns in it (``KvCache.sit_down``): a graph
for each text would double the recordings with every text, and each session would need its own.
Changing seats copies what both hold, 31 MB for 1,072 tokens of a 1.5B model, once per change.

Every entry of that place is attended to, the mask hides those behind the position: for such a model
that reads those 31 MB beside 3.1 GB of weights, which is why there are no recordings by length.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from code2lora_lsp.neural.decoder_layers import DecoderLayers, Span
from code2lora_lsp.neural.decoder_weights import DecoderWeights
from code2lora_lsp.neural.kv_cache import KvCache, Seat

log = logging.getLogger(__name__)

Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Runs some tensor work, and returns what does the same again on the same memory."""

WIDTHS = (1, 8)
"""Tokens a pass may take: one, or one and seven guesses (``Decoder.decode_ahead``)."""


class FixedPasses:
    """All recorded passes of one decoder. Owner: the engine's thread."""

    def __init__(
        self, layers: DecoderLayers, cos: Tensor, sin: Tensor, seat: Seat, record: Record
    ) -> None:
        """``cos`` and ``sin`` are [P, d / 2], as ``DecoderConfig.rotations`` has them."""
        self._layers, self._cos, self._sin = layers, cos, sin
        self._seat = seat
        self._record = record
        self._most_positions = min(seat.capacity, len(cos))
        self._passes: dict[tuple[int, int], _FixedPass] = {}
        self._tried: dict[int, DecoderWeights] = {}  # an id is theirs as long as they live

    def record(self, weights: DecoderWeights) -> bool:
        """Record the passes over one buffer of weights, once; whether they are recorded.

        Where that did not work, one line of the log says so, and ``run`` has nothing for these
        weights. What is merged into them later is read from the same memory.
        """
        if id(weights) not in self._tried:
            self._tried[id(weights)] = weights
            self._record_all(weights)
        return (id(weights), WIDTHS[0]) in self._passes

    def run(
        self, token_ids: Sequence[int], cache: KvCache, weights: DecoderWeights
    ) -> Tensor | None:
        """Compute tokens behind those the cache holds; it is for the caller to note them there.

        Returns:
            logits after each, [T, V] float32 in memory of their own; ``None`` where nothing fits
            that was recorded.
        """
        start = len(cache.tokens)
        width = next((n for n in WIDTHS if n >= len(token_ids)), None)
        one = None if width is None else self._passes.get((id(weights), width))
        if width is None or one is None or start + width > self._most_positions:
            return None
        if not cache.sit_down(self._seat):
            return None
        return one.run(token_ids, start)

    def _record_all(self, weights: DecoderWeights) -> None:
        self._seat.clear()  # recording runs the passes, and writes
        try:
            for width in WIDTHS:
                one = _FixedPass(
                    width, self._layers, self._cos, self._sin, self._seat, weights, self._record
                )
                self._passes[id(weights), width] = one
        except RuntimeError as error:  # torch's errors of CUDA are such ones
            for width in WIDTHS:
                self._passes.pop((id(weights), width), None)
            log.warning(
                "single tokens could not be captured as a CUDA graph, so each takes longer: %s",
                str(error).partition("\n")[0],
            )


class _FixedPass:
    """``width`` tokens over one buffer of weights; fewer are filled up, which nobody sees.

    What fills up stands behind the others, where the mask hides it, and is written over by the
    tokens that come there.
    """

    def __init__(
        self,
        width: int,
        layers: DecoderLayers,
        cos: Tensor,
        sin: Tensor,
        seat: Seat,
        weights: DecoderWeights,
        record: Record,
    ) -> None:
        device = seat.keys.device
        self._layers, self._cos, self._sin = layers, cos, sin
        self._seat, self._weights = seat, weights
        self._input = torch.zeros(width + 1, dtype=torch.int64, device=device)  # ids and position
        self._offsets = torch.arange(width, device=device)
        self._places = torch.arange(seat.capacity, device=device)
        self._logits: Tensor | None = None
        self._replay = record(self._compute)

    def run(self, token_ids: Sequence[int], start: int) -> Tensor:
        """Logits after each token, [T, V] float32; a copy, for the next pass writes them again."""
        ids = [*token_ids, *[0] * (len(self._offsets) - len(token_ids))]
        self._input.copy_(torch.tensor([*ids, start]), non_blocking=True)
        self._replay()
        assert self._logits is not None
        return self._logits[: len(token_ids)].clone()

    def _compute(self) -> None:
        """All that is recorded: no number of it may come from Python but the shapes."""
        positions = self._input[-1:] + self._offsets  # [T]
        cos, sin = self._cos[positions, None], self._sin[positions, None]  # [T, 1, d / 2]
        mask = (self._places <= positions[:, None])[None, None]  # [1, 1, T, capacity]
        span = Span(cos, sin, mask, _Entries(self._seat, positions))
        output = self._layers.run(self._input[None, :-1], span, self._weights).output  # [1, T, D]
        self._logits = self._layers.logits(output[0], self._weights)


class _Entries:
    """The seat's entries from a position on that lies in memory."""

    def __init__(self, seat: Seat, positions: Tensor) -> None:
        self._seat, self._positions = seat, positions

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        all_keys, all_values = self._seat.keys[layer], self._seat.values[layer]
        all_keys.index_copy_(1, self._positions, keys[0])
        all_values.index_copy_(1, self._positions, values[0])
        return all_keys[None], all_values[None]
