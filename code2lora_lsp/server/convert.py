r"""LSP positions ↔ code point offsets: the only position arithmetic of the package.

A line ends at ``\n``, ``\r\n`` or ``\r`` and nowhere else. ``str.splitlines`` also breaks at
form feeds and Unicode separators, which shifts every position below, so it is never used here.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum
from itertools import accumulate

from lsprotocol import types

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class Encoding(Enum):
    """The unit in which the client counts ``Position.character``."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"

    @classmethod
    def of(cls, name: str | None) -> "Encoding":
        """The encoding of that name; LSP's default, UTF-16, for names we do not know."""
        return next((known for known in cls if known.value == name), cls.UTF16)


def count_units(text: str, encoding: Encoding) -> int:
    """How many units the client counts in ``text``."""
    if encoding is Encoding.UTF32 or text.isascii():
        return len(text)
    return sum(_width(char, encoding) for char in text)


def count_code_points(line: str, units: int, encoding: Encoding) -> int:
    """Code points in the first ``units`` units of ``line``, at most all of them.

    A unit in the middle of a character counts as the character's beginning.
    """
    if encoding is Encoding.UTF32 or line.isascii():
        return min(units, len(line))
    seen = 0
    for index, char in enumerate(line):
        seen += _width(char, encoding)
        if seen > units:
            return index
    return len(line)


def _width(char: str, encoding: Encoding) -> int:
    code = ord(char)
    if encoding is Encoding.UTF16:
        return 2 if code > 0xFFFF else 1
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)


def position_of(value: object) -> types.Position | None:
    """A position from untyped JSON; ``None`` where it is none."""
    try:
        return types.Position(value["line"], value["character"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None


def split_lines(text: str) -> list[str]:
    """The lines with their breaks; the last one has none and may be empty. Never an empty list."""
    if "\r" not in text:
        *whole, last = text.split("\n")
        return [*(line + "\n" for line in whole), last]
    lines = _LINE.findall(text)
    if not lines or lines[-1][-1] in "\r\n":
        lines.append("")
    return lines


def without_break(line: str) -> str:
    return line.rstrip("\r\n")


class Lines:
    """The lines of one open document, edited in place. Owned by the event loop."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self._encoding = encoding
        self._lines = split_lines(text)
        self._starts: list[int] | None = None

    def text(self) -> str:
        return "".join(self._lines)

    def replace_all(self, text: str) -> None:
        self._lines = split_lines(text)
        self._starts = None

    def replace(self, where: types.Range, text: str) -> None:
        """Put ``text`` where ``where`` was. Only the lines it touches are split again."""
        first, start = self._place(where.start)
        last, end = self._place(where.end)
        if (last, end) < (first, start):
            first, start, last, end = last, end, first, start
        chunk = self._lines[first][:start] + text + self._lines[last][end:]
        if first and self._lines[first - 1].endswith("\r") and chunk.startswith("\n"):
            first -= 1
            chunk = self._lines[first] + chunk
        fresh = split_lines(chunk)
        if last + 1 < len(self._lines):
            fresh.pop()  # the chunk ends with the last line's own break; what follows it is there
        self._lines[first : last + 1] = fresh
        self._starts = None

    def offset_at(self, position: types.Position) -> int:
        """Code points before ``position``; beyond a line is its end, beyond the text is its end."""
        line, index = self._place(position)
        return self._line_starts()[line] + index

    def position_at(self, offset: int) -> types.Position:
        """The position of a code point offset, clamped into the text."""
        starts = self._line_starts()
        line = max(bisect_right(starts, offset) - 1, 0)
        content = without_break(self._lines[line])
        before = content[: max(offset - starts[line], 0)]
        return types.Position(line=line, character=count_units(before, self._encoding))

    def range_of(self, start: int, end: int) -> types.Range:
        return types.Range(start=self.position_at(start), end=self.position_at(end))

    def _place(self, position: types.Position) -> tuple[int, int]:
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        content = without_break(self._lines[position.line])
        return position.line, count_code_points(content, position.character, self._encoding)

    def _line_starts(self) -> Sequence[int]:
        if self._starts is None:
            self._starts = list(accumulate(map(len, self._lines[:-1]), initial=0))
        return self._starts
