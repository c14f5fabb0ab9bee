r"""Lines that a change added, with what stood before and behind them when they were written.

Lines end at LF and nowhere else. A line that the same change took away elsewhere has moved and is
not new.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_LINES = 8
"""Of one passage; a longer run of added lines is several, one after the other."""

MOST_COMPARED = 2_000_000
"""Lines before times lines after, without what is common at both ends; above it a file is left
out, as comparing takes time by the product."""


@dataclass(frozen=True)
class Passage:
    """Added lines of one file.

    Attributes:
        before: the new text up to them, other added lines included.
        text: the lines, each with its LF.
        after: the new text behind the run that they belong to: what follows is not written yet.
    """

    path: str
    before: str
    text: str
    after: str

    @property
    def place(self) -> str:
        """Orders passages evenly over files, and always in the same way."""
        return hashlib.sha256(f"{self.path}\0{len(self.before)}\0{self.text}".encode()).hexdigest()


def added_passages(before: Mapping[str, str], after: Mapping[str, str]) -> list[Passage]:
    """Passages of all files of a change, in the order of their place.

    Args:
        before: path → text of the files that changed or went.
        after: path → text of the files that changed or came.
    """
    old = {path: _lines(text) for path, text in before.items()}
    new = {path: _lines(text) for path, text in after.items()}
    changes = {path: _runs(old.get(path, []), lines) for path, lines in new.items()}
    gone = _gone(old, new)
    found = [
        passage
        for path, runs in changes.items()
        for passage in _passages(path, new[path], runs, gone)
    ]
    return sorted(found, key=lambda passage: passage.place)


def _gone(old: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]) -> Counter[str]:
    """Lines that stand somewhere before and there no more, without their indentation."""
    gone: Counter[str] = Counter()
    for path, lines in old.items():
        gone += _counted(lines) - _counted(new.get(path, []))
    return gone


def _counted(lines: Sequence[str]) -> Counter[str]:
    return Counter(line.strip() for line in lines if line.strip())


def _passages(
    path: str, lines: Sequence[str], runs: Sequence[range], gone: Counter[str]
) -> Iterator[Passage]:
    for run in runs:
        after = "".join(lines[run.stop :])
        for part in _parts(lines, run, gone):
            text = "".join(lines[part.start : part.stop])
            if text.strip():
                yield Passage(path, "".join(lines[: part.start]), text, after)


def _parts(lines: Sequence[str], run: range, gone: Counter[str]) -> Iterator[range]:
    """A run in parts of a few lines, without those that moved."""
    start = run.start
    for at in run:
        has_moved = gone[lines[at].strip()] > 0
        if has_moved or at - start == MOST_LINES:
            yield range(start, at)
            start = at + has_moved
    yield range(start, run.stop)


def _runs(old: Sequence[str], new: Sequence[str]) -> list[range]:
    """Runs of new lines that are not among the old ones, in order."""
    head = _n_common(old, new)
    tail = _n_common(old[head:][::-1], new[head:][::-1])
    old_middle, new_middle = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(old_middle) * len(new_middle) > MOST_COMPARED:
        return []
    matcher = SequenceMatcher(None, old_middle, new_middle, autojunk=False)
    return [
        range(head + start, head + stop)
        for kind, _, _, start, stop in matcher.get_opcodes()
        if kind in {"insert", "replace"}
    ]


def _n_common(one: Sequence[str], other: Sequence[str]) -> int:
    for index, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            return index
    return min(len(one), len(other))


def _lines(text: str) -> list[str]:
    *whole, last = text.split("\n")
    return [*(line + "\n" for line in whole), *([last] if last else [])]
