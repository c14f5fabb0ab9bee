"""Raw completion → text to insert: where it ends, what of it is there already, what it must close.

Everything here is text; control tokens never reach it (they are cut as token ids). All text has
LF line breaks here; ``with_newline`` puts the document's own back.
"""

import re

from code2lora_lsp.text.extent import extent
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.syntax import CLOSERS, OPENERS, Scanner

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_TRIVIAL = re.compile(r"\W*(?:pass|return|break|continue|else|try|finally|None|True|False)?\W*")
_FIRST_WORD = re.compile(r"\w+")
_QUOTES = ('"', "'", "`")
_SHORTEST_REPEATED_START = 3


def trim(raw: str, gap: Gap) -> str:
    """The part of ``raw`` worth inserting at the gap; empty when nothing is."""
    text = gap.indented(raw.rstrip(REPLACEMENT))  # a character whose last bytes are not there yet
    text = text[: extent(text, gap, is_whole=True)[0]]
    text = _without_what_precedes(text, gap)
    text = text[: Scanner(gap.syntax, gap.still_open).read(text, gap.n_closed_behind)]
    text = _joined_to_what_follows(text, gap)
    text = _without_repeated_lines(text, gap)
    return _without_trailing_space(text, gap)


def with_newline(text: str, newline: str) -> str:
    """``text`` with the document's own line break."""
    return text if newline == "\n" else text.replace("\n", newline)


def _without_what_precedes(text: str, gap: Gap) -> str:
    """Neither the line so far is said again, nor a space before the cursor but indentation."""
    so_far = gap.line_before.strip()
    is_telling = len(so_far) >= _SHORTEST_REPEATED_START and any(map(_is_word, so_far))
    if is_telling and not _is_word(gap.line_before[-1]) and text.lstrip(" \t").startswith(so_far):
        text = text.lstrip(" \t")[len(so_far) :]
    if so_far and gap.line_before[-1] in " \t":
        return text.lstrip(" \t")
    return text


def _joined_to_what_follows(text: str, gap: Gap) -> str:
    """Drop what the rest of the cursor's line says; nothing at all if both do not go together.

    Closing brackets alone are no repetition in code: what they close was counted.
    """
    rest = gap.line_after.rstrip()
    if "\n" in text or not rest or not text.strip():
        return text
    for length in range(min(len(text), len(rest)), 0, -1):
        if text.endswith(rest[:length]) and _is_repetition(text, rest, length, gap):
            return text[:-length]
    within = text.find(rest.strip()) if len(rest.strip()) > _SHORTEST_REPEATED_START else -1
    if within >= 0 and _is_word(rest.strip()[0]) and not _is_word(text[within - 1 : within] or " "):
        return text[:within]
    return _unglued(text, rest, gap)


def _is_repetition(text: str, rest: str, length: int, gap: Gap) -> bool:
    """Whether the first ``length`` characters of ``rest``, with which ``text`` ends, are no chance.

    They end no word early, nor begin in one, unless with so much of it that it is meant.
    """
    said = rest[:length]
    if _is_word(said[-1]) and _is_word(rest[length : length + 1]):
        return False
    word = _FIRST_WORD.match(said)
    if word and _is_word(text[:-length][-1:]) and len(word[0]) < _SHORTEST_REPEATED_START:
        return False
    return gap.is_in_text or bool(said.strip(")]}"))


def _unglued(text: str, rest: str, gap: Gap) -> str:
    """``text`` as far as ``rest`` can follow it without a space between."""
    last, following = text[-1], rest[0]
    if following in OPENERS and last in CLOSERS:  # the call's brackets stand there already
        return text[: text.rfind(CLOSERS[last])]
    begins_string = following in _QUOTES and not gap.is_in_text
    if not _is_word(following) and not begins_string:
        return text
    is_prefix = last == "_" or (begins_string and _is_string_prefix(text))
    ends_word = _is_word(last) and not is_prefix
    return "" if ends_word or last in CLOSERS or last in _QUOTES else text


def _is_string_prefix(text: str) -> bool:
    return re.search(r"(?<!\w)[rRbBuUfFtT]{1,2}\Z", text) is not None


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _without_repeated_lines(text: str, gap: Gap) -> str:
    """Drop lines that stand below already, and a single line that repeats its neighbour."""
    lines = (gap.line_before + text).split("\n")
    below = _next_line(gap)
    above = gap.before[: len(gap.before) - len(gap.line_before)].rstrip().rpartition("\n")[2]
    complete = lines[0] + (gap.line_after if len(lines) == 1 else "")
    for neighbour in (below, above):
        if _is_telling(neighbour) and complete.strip() == neighbour.strip():
            return ""
    for index, line in enumerate(lines[1:], start=1):
        if line.strip() and below and line.rstrip() == below.rstrip():
            return "\n".join(lines[:index])[len(gap.line_before) :]
    return text


def _next_line(gap: Gap) -> str:
    """The first line with something on it below the cursor's."""
    rest = gap.after[len(gap.line_after) :].lstrip("\n")
    for line in rest.split("\n", 3)[:3]:
        if line.strip():
            return line
    return ""


def _is_telling(line: str) -> bool:
    """Whether a line says so much that its repetition is a mistake: not ``pass`` or ``)``."""
    return _TRIVIAL.fullmatch(line.strip()) is None


def _without_trailing_space(text: str, gap: Gap) -> str:
    """No white space at the end, but the one that keeps two words apart."""
    stripped = text.rstrip()
    if not stripped:
        return ""
    follows = gap.line_after[:1]
    needs_space = "\n" not in text and len(stripped) < len(text) and follows.strip()
    return stripped + " " if needs_space and follows not in ")]},:;." else stripped
