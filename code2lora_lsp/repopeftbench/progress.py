"""How far a long run is: a bar on a terminal, plain lines elsewhere, both with the time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 30.0


class Announcer(Protocol):
    """What a run tells while it runs."""

    def begin(self, what: str) -> None:
        """Another (arm, repository) starts."""

    def advance(self, n_answers: int) -> None:
        """So many answers more are there."""


class Lines:
    """A line when something begins and at most every half minute in between."""

    def __init__(
        self,
        total: int,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], object] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._total, self._clock, self._write = total, clock, write
        self._done = 0
        self._what = ""
        self._began_at = self._written_at = clock()

    def begin(self, what: str) -> None:
        self._what = what
        self._line()

    def advance(self, n_answers: int) -> None:
        self._done += n_answers
        if self._done == self._total or self._clock() - self._written_at >= LINE_EVERY_S:
            self._line()

    def _line(self) -> None:
        self._written_at = self._clock()
        left = time_left(self._done, self._total, self._written_at - self._began_at)
        self._write(f"{self._done}/{self._total} answers, {left}: {self._what}")


class Bar:
    """One bar of rich."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def begin(self, what: str) -> None:
        self._progress.update(self._task, description=what)

    def advance(self, n_answers: int) -> None:
        self._progress.advance(self._task, n_answers)


@contextmanager
def announcing(total: int) -> Iterator[Announcer]:
    """An announcer of ``total`` answers on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(total)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        yield Bar(total, progress)


def time_left(done: int, total: int, elapsed_s: float) -> str:
    """``about 4 min left``, from the mean pace so far."""
    if done == total:
        return f"done in {duration(elapsed_s)}"
    if done == 0:
        return "time left not known yet"
    return f"about {duration(elapsed_s / done * (total - done))} left"


def duration(seconds: float) -> str:
    """Two leading units: ``45 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
