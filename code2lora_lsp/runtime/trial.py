"""How long something takes here."""

from collections.abc import Callable

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
