"""How much of what a model writes belongs to a gap: the line, or lines up to the block's end."""

import re

from code2lora_lsp.text.gap import Gap, indentation
from code2lora_lsp.text.syntax import CLOSERS, Scanner, is_string_or_comment

_CLAUSES = ("elif", "else", "except", "finally", "case")
_FIRST_WORD = re.compile(r"\w*")


def is_finished(raw: str, gap: Gap) -> bool:
    """Whether more tokens cannot change what ``trim`` makes of ``raw``."""
    return extent(gap.indented(raw), gap, is_whole=False)[1]


def without_open_end(text: str, gap: Gap) -> str:
    """``text`` without the lines at its end that stop inside what they opened."""
    while text and is_left_open(text, gap):
        text = text.rpartition("\n")[0]
    return text


def is_left_open(raw: str, gap: Gap) -> bool:
    """Whether ``raw`` ends inside a string or brackets of its own, other than after a comma.

    What stands behind the cursor may close them, and so may the lines below.
    """
    if gap.line_after.strip() or raw.endswith("\n"):
        return False
    scanner = Scanner(gap.syntax, gap.still_open)
    if scanner.read(raw) is not None:
        return False
    own = scanner.open[len(gap.still_open) :]
    if not own or own[-1] in gap.syntax.line_comments or own[-1] in gap.syntax.long_quotes:
        return False
    return is_string_or_comment(own[-1]) or raw.rstrip()[-1:] not in {",", *CLOSERS.values()}


def extent(raw: str, gap: Gap, *, is_whole: bool) -> tuple[int, bool]:
    """How much of ``raw`` belongs to the gap, and whether that is certain already.

    One line: up to the first line break. Several: up to ``max_lines``, and no further than the
    block the cursor stands in, or the block that the cursor's line opens.
    """
    first_break = raw.find("\n")
    if first_break < 0:
        return len(raw), False
    if gap.is_single_line:
        return first_break, True
    block = _Block(gap, raw[:first_break])
    n_lines, start = (1 if raw[:first_break].strip() else 0), first_break + 1
    while start <= len(raw):
        end = raw.find("\n", start)
        line = raw[start:] if end < 0 else raw[start:end]
        if block.is_left_by(line, is_whole=is_whole or end >= 0):
            return start - 1, True
        n_lines += 1
        if end < 0:
            return len(raw), False
        if n_lines >= gap.max_lines:
            return end, True
        block.read(line)
        start = end + 1
    return len(raw), False


class _Block:
    """The block a completion goes on in, or opens; reads its lines one by one."""

    def __init__(self, gap: Gap, first: str) -> None:
        """``first`` is what is written of the cursor's line."""
        self._syntax = gap.syntax
        self._outside = len(gap.still_open)
        self._scanner = Scanner(gap.syntax, gap.still_open)
        self._scanner.read(first + "\n")
        line = gap.line_before + first
        self._indentation = indentation(line)
        self._opens = line.rstrip().endswith(":")
        if not gap.syntax.is_indented:
            self._opens = line.rstrip().endswith("{")
            self._outside -= self._opens and len(self._scanner.open) <= self._outside

    def read(self, line: str) -> None:
        self._scanner.read(line + "\n")

    def is_left_by(self, line: str, *, is_whole: bool) -> bool:
        """Whether the next line stands outside."""
        content = line.lstrip()
        n_open = len(self._scanner.open)
        if not self._syntax.is_indented:
            is_closed = self._opens and n_open <= self._outside
            return is_closed or (n_open <= self._outside and content[:1] in CLOSERS)
        if n_open > self._outside or not content or content[0] in CLOSERS:
            return n_open <= self._outside and bool(content) and self._is_outer(line)
        if not self._opens:
            return self._is_outer(line)
        if indentation(line) > self._indentation:
            return False
        word = _FIRST_WORD.match(content)
        assert word is not None
        if not is_whole and word.end() == len(content):
            return False  # could still become "else"
        return self._is_outer(line) or word[0] not in _CLAUSES

    def _is_outer(self, line: str) -> bool:
        return indentation(line) < self._indentation
