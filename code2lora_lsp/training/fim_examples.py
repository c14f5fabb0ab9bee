"""Turns source files into training sequences: fill-in-the-middle ones and plain text.

Orders (Bavarian et al. 2022, "Efficient training of language models to fill in the middle"):

    SPM: <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix middle <|endoftext|>
    PSM: <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <|endoftext|>

Prefix, middle and suffix are encoded separately. A cursor may stand inside a word; serving takes
back what is typed of it and lets the model begin there (``text.healing``), and so do most examples.
A window is walked from start to end; the suffix and the line the middle ends in are seen twice.
"""

import random
from dataclasses import dataclass

from code2lora_lsp.text.gaps import Coder, cursor_in_line, head_within

FIM_SHARE = 0.7
SPM_SHARE = 0.8
EMPTY_SUFFIX_SHARE = 0.15
HEALED_SHARE = 0.9
LONGEST_SUFFIX_TOKENS = 160
LONGEST_MIDDLE_CHARS = 400
CHARS_PER_TOKEN = 3.4
_MIDDLE_KINDS = ("line_end", "lines", "brackets", "span")
_MIDDLE_WEIGHTS = (50, 22, 18, 10)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Window:
    """The part of a file still to be read: ``text[offset:stop]``. A suffix may reach past it.

    Attributes:
        header: put before what is read, in the prefix.
    """

    header: str
    text: str
    offset: int
    stop: int


def next_example(
    window: Window, budget_tokens: int, coder: Coder, rng: random.Random
) -> tuple[list[int], int]:
    """Build the sequence that goes on at ``window.offset`` and fits ``budget_tokens``.

    Returns:
        At most ``budget_tokens`` ids, and the offset, past the window's, where to go on.
    """
    if rng.random() >= FIM_SHARE:
        return _left_to_right(window, budget_tokens, coder)
    text, offset, encode, control = window.text, window.offset, coder.encode, coder.control
    suffix_tokens = 0
    if rng.random() >= EMPTY_SUFFIX_SHARE:
        suffix_tokens = min(rng.randint(1, LONGEST_SUFFIX_TOKENS), budget_tokens // 4)
    reach = int((budget_tokens - suffix_tokens) * CHARS_PER_TOKEN)
    cursor, end = _choose_middle(text, offset, min(window.stop, offset + reach), rng)
    if rng.random() < HEALED_SHARE:
        cursor = offset + len(coder.split(text[offset:cursor])[0])
    suffix = head_within(encode, text[end:], suffix_tokens)
    middle = encode(text[cursor:end])[: budget_tokens // 2]
    prefix = encode(window.header + text[offset:cursor])
    prefix = prefix[max(0, len(prefix) + len(middle) + len(suffix) + 4 - budget_tokens) :]
    line_start = text.rfind("\n", offset, end) + 1
    following = line_start if line_start > offset else _line_end(text, end, window.stop) + 1
    if rng.random() < SPM_SHARE:
        head = [control.prefix, control.suffix, *suffix, control.middle, *prefix]
    else:
        head = [control.prefix, *prefix, control.suffix, *suffix, control.middle]
    return [*head, *middle, control.end_of_text], following


def _left_to_right(window: Window, budget_tokens: int, coder: Coder) -> tuple[list[int], int]:
    """Plain text to the end of the budget, ended by <|endoftext|> only where the file ends."""
    text, offset = window.text, window.offset
    end = min(window.stop, offset + int(budget_tokens * CHARS_PER_TOKEN))
    if end < window.stop:
        end = max(text.rfind("\n", offset, end) + 1, offset + 1)
    ids = coder.encode(window.header + text[offset:end])
    if end == len(text):
        ids.append(coder.control.end_of_text)
    return ids[:budget_tokens], end


def _choose_middle(text: str, start: int, stop: int, rng: random.Random) -> tuple[int, int]:
    """Choose [cursor, end) in text[start:stop], most often late in it, for a long prefix."""
    kind = rng.choices(_MIDDLE_KINDS, _MIDDLE_WEIGHTS)[0]
    anchor = start + int((stop - start) * max(rng.random(), rng.random(), rng.random()))
    line_start = text.rfind("\n", start, anchor) + 1 or start
    line_end = _line_end(text, anchor, stop)
    if kind == "span":
        return anchor, min(stop, anchor + rng.randint(1, 80))
    if kind == "brackets":
        inside = _inside_brackets(text, line_start, line_end, stop, rng)
        if inside is not None:
            return inside
    cursor = cursor_in_line(text, line_start, line_end, rng)
    if kind == "lines":
        for _ in range(rng.randint(1, 4)):
            line_end = _line_end(text, min(line_end + 1, stop), stop)
    return cursor, min(line_end, cursor + LONGEST_MIDDLE_CHARS)


def _line_end(text: str, offset: int, stop: int) -> int:
    """Offset of the newline at or after ``offset``, or ``stop``."""
    found = text.find("\n", offset, stop)
    return stop if found < 0 else found


def _inside_brackets(
    text: str, line_start: int, line_end: int, stop: int, rng: random.Random
) -> tuple[int, int] | None:
    """Choose a bracket opened in the line; return [cursor inside it, its closing one)."""
    opened = [i for i in range(line_start, line_end) if text[i] in _CLOSERS]
    if not opened:
        return None
    start = rng.choice(opened)
    opener, closer, depth = text[start], _CLOSERS[text[start]], 0
    for i in range(start, min(stop, start + LONGEST_MIDDLE_CHARS)):
        depth += (text[i] == opener) - (text[i] == closer)
        if depth == 0:
            cursor = start + 1 if rng.random() < 0.7 else rng.randint(start + 1, i)
            return cursor, i
    return None
