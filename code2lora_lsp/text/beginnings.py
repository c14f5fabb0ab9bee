"""Where a suggestion may end early: what stands before has a meaning of its own."""

import re

from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.syntax import Scanner, is_string_or_comment

_END = re.compile(
    r"""
    [\w)\]}"'`](?!\w)          # a word, a closing bracket or quote
    | (?<=\w)[(\[]             # a call or subscript begun
    | :(?=\n|\Z)
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"\w")
FEWEST_CHARS = 2


def beginnings(text: str, gap: Gap) -> list[str]:
    """``text`` and its beginnings that can be offered in its place, the longest first.

    In front of code only the whole will do; of several lines whole ones stay and none that is blank
    comes last, of the first line also its parts.
    """
    found = [text]
    lines = text.split("\n")
    found += ["\n".join(lines[:n]) for n in range(len(lines) - 1, 0, -1) if lines[n - 1].strip()]
    if not gap.has_code_behind:
        first = lines[0]
        ends = [match.end() for match in _END.finditer(first) if match.end() < len(first)]
        parts = (first[:end] for end in reversed(ends))
        found += [part for part in parts if _can_end_here(part, gap)]
    return [one for one in found if one is text or _says_something(one)]


def _can_end_here(part: str, gap: Gap) -> bool:
    """Not inside a string of its own; nor in its brackets where others are closed behind it."""
    scanner = Scanner(gap.syntax, gap.still_open)
    scanner.read(part)
    own = scanner.open[len(gap.still_open) :]
    return not own or not (gap.line_after.strip() or is_string_or_comment(own[-1]))


def _says_something(text: str) -> bool:
    return len(text.strip()) >= FEWEST_CHARS and _WORD.search(text) is not None
