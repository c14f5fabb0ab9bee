"""Small models run in circles; this sees the circle and keeps its first round."""

from collections.abc import Sequence

LONGEST_PERIOD = 12
N_ROUNDS = 3
FEWEST_TOKENS = 8


def loop_start(token_ids: Sequence[int]) -> int | None:
    """Where the second round of a loop at the end of ``token_ids`` begins; ``None`` without one.

    A loop is a run of tokens said ``N_ROUNDS`` times in a row, at least ``FEWEST_TOKENS`` in all:
    ``1, 1, 1, 1,`` is one, the two brackets of ``[[`` or the four of an indentation are not.
    """
    length = len(token_ids)
    for period in range(1, min(LONGEST_PERIOD, length // N_ROUNDS) + 1):
        rounds = max(N_ROUNDS, -(-FEWEST_TOKENS // period))
        start = length - rounds * period
        if start >= 0 and _repeats(token_ids, start, period):
            return _first_round_end(token_ids, start, period)
    return None


def _repeats(token_ids: Sequence[int], start: int, period: int) -> bool:
    return all(token_ids[i] == token_ids[i + period] for i in range(start, len(token_ids) - period))


def _first_round_end(token_ids: Sequence[int], start: int, period: int) -> int:
    """Walk back as far as the loop reaches; keep one round of it."""
    while start > 0 and token_ids[start - 1] == token_ids[start - 1 + period]:
        start -= 1
    return start + period
