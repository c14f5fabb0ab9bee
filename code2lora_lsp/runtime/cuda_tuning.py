"""How a backbone runs fastest on this card: captured once, and a short trial at each start.

Tried are how many tokens of a prompt one pass may take and whether guesses pay. Cards differ
tenfold, so no number is right for all of them. Unmeasured: no card was at hand.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

from torch import Tensor

from code2lora_lsp.neural import cuda_graph
from code2lora_lsp.neural.backbone import CHUNK_TOKENS, Backbone
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.fixed_passes import WIDTHS, Record
from code2lora_lsp.runtime.trial import Clock, largest_chunk, least

log = logging.getLogger(__name__)

AHEAD_TOKENS = max(WIDTHS) - 1

WORTH_GUESSING = 1.5
"""A pass with guesses may take so many times as long as one without: where there was a guess, it
brought more tokens than that (docs/results/speed.md, Guesses)."""


def tune_cuda(
    backbone: Backbone,
    capacity_tokens: int,
    record: Record = cuda_graph.record,
    clock: Clock = time.perf_counter,
) -> None:
    """Capture what can be captured, try what pays, and set it on ``backbone``.

    Args:
        backbone: its weights are only read.
        capacity_tokens: of the caches that will be decoded in.
        record: see ``fixed_passes.Record``.
        clock: in seconds.
    """
    capacity = min(capacity_tokens, backbone.max_positions)
    if isinstance(backbone, Decoder):
        backbone.capture(capacity, record)
    cache = backbone.new_cache(capacity)

    def seconds(n_held: int, run: Callable[[], Tensor]) -> float:
        def from_there() -> None:
            cache.crop(n_held)
            run().cpu()  # waits for the card

        return least(from_there, 5, clock)

    backbone.chunk_tokens = largest_chunk(
        lambda n: seconds(0, partial(backbone.prefill, [0] * n, cache)), capacity
    )
    n_held = min(CHUNK_TOKENS, capacity - max(WIDTHS))
    cache.crop(0)
    backbone.prefill([0] * n_held, cache)
    one_s = seconds(n_held, partial(backbone.decode_one, 0, cache))
    ahead_s = seconds(n_held, lambda: backbone.decode_ahead([0] * max(WIDTHS), cache)[0])
    backbone.ahead_tokens = AHEAD_TOKENS if ahead_s < WORTH_GUESSING * one_s else 0
    log.info(
        "on this card: %d tokens of a prompt in a pass, %d guessed; a token takes %.1f ms",
        backbone.chunk_tokens, backbone.ahead_tokens, 1000 * one_s,
    )  # fmt: skip
