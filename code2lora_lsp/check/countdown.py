"""Long work in the terminal: what is done, how much of it, and the time left, on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

PRINT_EVERY_S = 10.0
"""Where there is no terminal to draw a bar in."""

Count = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is to do."""


@contextmanager
def countdown() -> Iterator[Count]:
    """Bars with the time left; without a terminal, a line now and then."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(lambda line: console.print(line, soft_wrap=True))
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def count(what: str, n_done: int, n_wanted: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=n_wanted)
            bar.update(tasks[what], completed=n_done)

        yield count


class _Lines:
    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._what, self._started_s, self._written_s = "", 0.0, 0.0

    def __call__(self, what: str, n_done: int, n_wanted: int) -> None:
        now_s = self._clock()
        if what != self._what:
            self._what, self._started_s, self._written_s = what, now_s, now_s
            self._write(f"{what}: {n_wanted:,} to do")
        elif now_s - self._written_s >= PRINT_EVERY_S and n_done:
            self._written_s = now_s
            left_s = (now_s - self._started_s) * (n_wanted - n_done) / n_done
            self._write(f"{what}: {n_done:,} of {n_wanted:,}, about {left_s:.0f} s left")
