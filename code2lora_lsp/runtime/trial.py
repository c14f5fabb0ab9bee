"""How long something takes here."""

from collections.abc import Callable

from code2lora_lsp.neural.backbone import CHUNK_TOKENS

CANCEL_WITHIN_S = 0.010
"""A request that is not wanted any more ends between two passes, so none should take longer."""

CHUNKS = (CHUNK_TOKENS, 128, 256, 512)
"""On a card, below some 150 tokens a pass waits for the weights, whatever it computes: 2 operations
per token and 2-byte weight, and cards that do 150 operations in the time of reading a byte."""

Clock = Callable[[], float]
"""In seconds."""


def least(run: Callable[[], object], times: int, clock: Clock) -> float:
    """Seconds of the quickest of a few runs, after one that does not count."""
    run()
    taken: list[float] = []
    for _ in range(times):
        started_s = clock()
        run()
        taken.append(clock() - started_s)
    return min(taken)


def largest_chunk(seconds: Callable[[int], float], most: int) -> int:
    """How many tokens of a prompt one pass may take, from the time that a number of them takes."""
    chosen = CHUNK_TOKENS
    for n_tokens in CHUNKS:
        if n_tokens > most or seconds(n_tokens) > CANCEL_WITHIN_S:
            break
        chosen = n_tokens
    return chosen
