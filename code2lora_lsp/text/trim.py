"""Raw completion → text to insert: where it ends, what of it is there already, what it must close.

Everything here is text; control tokens never reach it (they are cut as token ids). All text has
LF line breaks here; ``with_newline`` puts the document's own back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_OPENERS = {"(": ")", "[": "]", "{": "}"}
_CLOSERS = {closer: opener for opener, closer in _OPENERS.items()}
_CLAUSES = ("elif", "else", "except", "finally", "case")
_TRIVIAL = re.compile(r"\W*(?:pass|return|break|continue|else|try|finally|None|True|False)?\W*")
_ONLY_CLOSING = re.compile(r"[\s)\]}\"':,;]*")
_FIRST_WORD = re.compile(r"\w*")
_WINDOW_CHARS = 4000
_TAB_WIDTH = 8


@dataclass(frozen=True)
class Gap:
    """The place a completion goes into.

    Attributes:
        before: text up to the cursor, line breaks as LF.
        after: text behind it.
        max_lines: 1 while typing; more for a suggestion asked for by hand.
    """

    before: str
    after: str
    max_lines: int = 1

    @property
    def line_before(self) -> str:
        """The cursor's line, up to the cursor."""
        return self.before[self.before.rfind("\n") + 1 :]

    @property
    def line_after(self) -> str:
        """The rest of the cursor's line."""
        end = self.after.find("\n")
        return self.after if end < 0 else self.after[:end]

    @property
    def is_single_line(self) -> bool:
        """Code behind the cursor would be pushed away by a second line; closing marks would not."""
        return self.max_lines == 1 or not _ONLY_CLOSING.fullmatch(self.line_after)


def is_finished(raw: str, gap: Gap) -> bool:
    """Whether more tokens cannot change what ``trim`` makes of ``raw``."""
    return _extent(raw, gap, is_whole=False)[1]


def is_left_open(raw: str, gap: Gap) -> bool:
    """Whether ``raw`` ends inside a string or brackets of its own, other than after a comma.

    What stands behind the cursor may close them, and so may the lines below.
    """
    if gap.line_after.strip() or "\n" in raw:
        return False
    quote_before = _scan(_statement(gap.before), "")[1]
    brackets, quote = _scan(raw, quote_before)
    if quote != quote_before and quote in {'"', "'"}:
        return True
    is_open = bool(_unclosed(character for _, character in brackets))
    return is_open and raw.rstrip()[-1:] not in {",", *_OPENERS}


def trim(raw: str, gap: Gap) -> str:
    """The part of ``raw`` worth inserting at the gap; empty when nothing is."""
    text = raw.rstrip(REPLACEMENT)  # a character whose last bytes were not decoded
    text = text[: _extent(text, gap, is_whole=True)[0]]
    text = _without_doubled_space(text, gap)
    text = _balanced(text, gap)
    text = _without_what_follows(text, gap)
    text = _without_repeated_lines(text, gap)
    return _without_trailing_space(text, gap)


def with_newline(text: str, newline: str) -> str:
    """``text`` with the document's own line break."""
    return text if newline == "\n" else text.replace("\n", newline)


def _extent(raw: str, gap: Gap, *, is_whole: bool) -> tuple[int, bool]:
    """How much of ``raw`` belongs to the gap, and whether that is certain already.

    One line: up to the first line break. Several: up to ``max_lines``, and no further than the
    block the cursor stands in, or the block that the cursor's line opens.
    """
    first_break = raw.find("\n")
    if first_break < 0:
        return len(raw), False
    if gap.is_single_line:
        return first_break, True
    first_line = gap.line_before + raw[:first_break]
    base = _indent(first_line)
    opens = first_line.rstrip().endswith(":")
    n_lines, start = (1 if raw[:first_break].strip() else 0), first_break + 1
    while start <= len(raw):
        end = raw.find("\n", start)
        line = raw[start:] if end < 0 else raw[start:end]
        if _leaves_block(line, base, opens=opens, is_whole=is_whole or end >= 0):
            return start - 1, True
        n_lines += 1
        if end < 0:
            return len(raw), False
        if n_lines >= gap.max_lines:
            return end, True
        start = end + 1
    return len(raw), False


def _leaves_block(line: str, base: int, *, opens: bool, is_whole: bool) -> bool:
    """Whether ``line`` stands outside a block indented by ``base`` columns."""
    content = line.lstrip()
    if not content or content[0] in _CLOSERS:
        return bool(content) and _indent(line) < base
    if not opens:
        return _indent(line) < base
    if _indent(line) > base:
        return False
    word = _FIRST_WORD.match(content)
    assert word is not None
    if not is_whole and word.end() == len(content):
        return False  # could still become "else"
    return _indent(line) < base or word[0] not in _CLAUSES


def _indent(line: str) -> int:
    """Columns of leading white space, tabs to the next multiple of eight as Python reads them."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(_TAB_WIDTH))


def _without_doubled_space(text: str, gap: Gap) -> str:
    """A space typed before the cursor is not repeated, unless it is indentation."""
    if gap.line_before.strip() and gap.line_before[-1] in " \t":
        return text.lstrip(" \t")
    return text


def _without_what_follows(text: str, gap: Gap) -> str:
    """Drop the end of ``text`` that the rest of the cursor's line begins with.

    Closing brackets alone are no repetition: ``_balanced`` has counted them.
    """
    rest = gap.line_after.rstrip()
    if "\n" in text or not rest:
        return text
    for length in range(min(len(text), len(rest)), 0, -1):
        is_whole_word = length == len(rest) or not (
            _is_word(rest[length - 1]) and _is_word(rest[length])
        )
        if is_whole_word and text.endswith(rest[:length]) and rest[:length].strip(")]}"):
            return text[:-length]
    return text


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _balanced(text: str, gap: Gap) -> str:
    """Cut before a closing bracket that closes nothing, or what the line's rest closes already."""
    brackets, quote = _scan(_statement(gap.before), "")
    still_open = _unclosed(character for _, character in brackets)
    for character in _unopened(character for _, character in _scan(gap.line_after, quote)[0]):
        if still_open and still_open[-1] == _CLOSERS[character]:
            still_open.pop()
    for position, character in _scan(text, quote)[0]:
        if character in _OPENERS:
            still_open.append(character)
        elif still_open and still_open[-1] == _CLOSERS[character]:
            still_open.pop()
        else:
            return text[:position]
    return text


def _statement(before: str) -> str:
    """The text from the last line that begins a statement at the left edge, within reason."""
    window = before[-_WINDOW_CHARS:]
    starts = [match.end() for match in re.finditer(r"\n(?=[^\s)\]}#\"'])", window)]
    return window[starts[-1] :] if starts else window


def _unclosed(brackets: Iterable[str]) -> list[str]:
    """Brackets opened and not closed, outermost first."""
    still_open: list[str] = []
    for character in brackets:
        if character in _OPENERS:
            still_open.append(character)
        elif still_open and still_open[-1] == _CLOSERS[character]:
            still_open.pop()
    return still_open


def _unopened(brackets: Iterable[str]) -> list[str]:
    """Closing brackets without an opening one, in order."""
    n_open, found = 0, []
    for character in brackets:
        if character in _OPENERS:
            n_open += 1
        elif n_open:
            n_open -= 1
        else:
            found.append(character)
    return found


def _scan(text: str, quote: str) -> tuple[list[tuple[int, str]], str]:
    """Brackets of ``text`` outside strings and comments, and the quote left open at its end.

    ``quote`` is what was left open before it; a comment counts as a quote closed by a line break.
    """
    found: list[tuple[int, str]] = []
    position = 0
    while position < len(text):
        character = text[position]
        if quote:
            if text.startswith(quote, position):
                position += len(quote) - 1
                quote = ""
            elif character == "\\":
                position += 1
            elif character == "\n" and len(quote) == 1:
                quote = ""  # a plain string ends with its line
        elif character in "\"'":
            quote = character * 3 if text.startswith(character * 3, position) else character
            position += len(quote) - 1
        elif character == "#":
            quote = "\n"
        elif character in _OPENERS or character in _CLOSERS:
            found.append((position, character))
        position += 1
    return found, quote


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
