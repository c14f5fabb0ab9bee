"""Private keys and JSON web tokens: secrets of several parts, found in time linear in the text.

One pattern for the whole of such a secret is tried again from each place it might begin at, and
follows each way its parts might meet: a fixture of 20 lines cost 20 s. So the part that is hard to
mistake is found first, and what belongs to it is looked for next to it.
"""

import re
from collections.abc import Iterable

_LABEL = r"[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
_BEGIN = re.compile(rf"-----BEGIN {_LABEL}")
_END = re.compile(rf"-----END {_LABEL}")
_LONGEST_BODY_CHARS = 12_000

_LINE = r"[ +\-]?[ \t]*[\"']?[A-Za-z0-9+/=]{16,200}(?:\\n)?[\"']?[ \t]*\r?\n"
_BODY_LINE = re.compile(_LINE)
_WITHOUT_END = re.compile(rf"-----BEGIN {_LABEL}[ \t]*\r?\n(?:{_LINE})+")
"""Nothing follows the repetition: where a line may match in two ways, it is tried once."""
_BEFORE_END = re.compile(r"[ +\-]?[ \t]*")

_WEB_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_AFTER_HEADER = re.compile(r"\.(?=(eyJ[A-Za-z0-9_\-]{10,4000}\.[A-Za-z0-9_\-]{10,2000}))")
_HEADER = re.compile(r"\beyJ")
_HEADER_CHARS = range(13, 4_004)


def replace_private_keys(text: str, placeholder: str) -> tuple[str, int]:
    """``text`` with each key block, or what a hunk shows of one, replaced; and how many were."""
    text, n_whole = _replace(text, _whole_blocks(text), placeholder)
    text, n_heads = _WITHOUT_END.subn(f"{placeholder}\n", text)
    text, n_tails = _replace(text, _tails(text), placeholder)
    return text, n_whole + n_heads + n_tails


def replace_web_tokens(text: str, placeholder: str) -> tuple[str, int]:
    """``text`` with each JSON web token replaced, and how many were."""
    return _replace(text, _web_tokens(text), placeholder)


def _replace(text: str, spans: Iterable[tuple[int, int]], placeholder: str) -> tuple[str, int]:
    """Spans are in order and do not overlap."""
    kept: list[str] = []
    at = 0
    for start, end in spans:
        kept += (text[at:start], placeholder)
        at = end
    return "".join([*kept, text[at:]]), len(kept) // 2


def _whole_blocks(text: str) -> Iterable[tuple[int, int]]:
    """From each first line of a key to the next last line, where that is not too far."""
    ends = _END.finditer(text)
    end = next(ends, None)
    read = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < read:
            continue
        while end is not None and end.start() < begin.end():
            end = next(ends, None)
        if end is None:
            return
        if end.start() - begin.end() <= _LONGEST_BODY_CHARS:
            read = end.end()
            yield begin.start(), read


def _tails(text: str) -> Iterable[tuple[int, int]]:
    """From the first line that may be of a key to the key's last line, found from there upwards."""
    for end in _END.finditer(text):
        line = text.rfind("\n", 0, end.start()) + 1
        if not _BEFORE_END.fullmatch(text, line, end.start()):
            continue
        start = line
        while start:
            above = text.rfind("\n", 0, start - 1) + 1
            if not _BODY_LINE.fullmatch(text, above, start):
                break
            start = above
        if start < line:
            yield start, end.end()


def _web_tokens(text: str) -> Iterable[tuple[int, int]]:
    """From the header in front of a payload and a signature to the latter's end."""
    read = 0
    for dot in _AFTER_HEADER.finditer(text):
        if dot.start() < read:
            continue
        before = text[max(read, dot.start() - _HEADER_CHARS[-1]) : dot.start()]
        run = len(before) - len(before.rstrip(_WEB_CHARS))
        header = _HEADER.search(text, dot.start() - run, dot.start())
        if header and dot.start() - header.start() in _HEADER_CHARS:
            read = dot.end(1)
            yield header.start(), read
