"""Where a suggestion may end early: what stands before has a meaning of its own."""

import re

from code2lora_lsp.text.gap import Gap

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

    In front of code or inside a bracket that is closed behind the cursor only the whole will do;
    of several lines whole ones stay, of the first line also its parts.
    """
    found = [text]
    lines = text.split("\n")
    found += ["\n".join(lines[:n]) for n in range(len(lines) - 1, 0, -1)]
    if not gap.line_after.strip():
        first = lines[0]
        ends = [match.end() for match in _END.finditer(first) if match.end() < len(first)]
        found += [first[:end] for end in reversed(ends)]
    return [one for one in found if one is text or _says_something(one)]


def _says_something(text: str) -> bool:
    return len(text.strip()) >= FEWEST_CHARS and _WORD.search(text) is not None
