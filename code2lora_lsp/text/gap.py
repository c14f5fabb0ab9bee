"""The place a completion goes into, and what is open there."""

import re
from dataclasses import dataclass
from functools import cached_property

from code2lora_lsp.text.syntax import (
    OPENERS,
    Scanner,
    Syntax,
    is_string_or_comment,
    open_at_end,
    syntax_of,
)

_ONLY_CLOSING = re.compile(r"[\s)\]}\"':,;]*")
_SEEN_CHARS = 4_000
_TAB_WIDTH = 8
_LEVEL = 4
_LAST_INDENTED = re.compile(r"(?s:.*)^([ \t])[ \t]*\S", re.MULTILINE)


@dataclass(frozen=True)
class Gap:
    """The place a completion goes into.

    Attributes:
        before: text up to the cursor, line breaks as LF.
        after: text behind it.
        max_lines: 1 while typing; more for a suggestion asked for by hand, or at a block's start.
        language_id: LSP's name of the language.
    """

    before: str
    after: str
    max_lines: int = 1
    language_id: str = "python"

    @cached_property
    def line_before(self) -> str:
        """The cursor's line, up to the cursor."""
        return self.before[self.before.rfind("\n") + 1 :]

    @cached_property
    def line_after(self) -> str:
        """The rest of the cursor's line."""
        end = self.after.find("\n")
        return self.after if end < 0 else self.after[:end]

    @property
    def is_single_line(self) -> bool:
        """Code behind the cursor would be pushed away by a second line; closing marks would not."""
        return self.max_lines == 1 or self.has_code_behind

    @property
    def has_code_behind(self) -> bool:
        """Whether more than closing marks stands on the line behind the cursor."""
        return _ONLY_CLOSING.fullmatch(self.line_after) is None

    @property
    def syntax(self) -> Syntax:
        return syntax_of(self.language_id)

    @cached_property
    def still_open(self) -> tuple[str, ...]:
        """Brackets, strings and comments open at the cursor, the innermost last."""
        return open_at_end(self.before, self.syntax)

    @property
    def is_in_text(self) -> bool:
        """Whether the cursor stands in a string or a comment."""
        return bool(self.still_open) and is_string_or_comment(self.still_open[-1])

    @cached_property
    def n_closed_behind(self) -> int:
        """How many of ``still_open`` must stay open for what stands behind the cursor to close."""
        closed = _closed_by(self.after[:_SEEN_CHARS], self.still_open, self.syntax)
        if not closed and self.is_in_text:  # the string is not closed yet, the brackets may be
            closed = _closed_by(self.line_after, self.still_open[:-1], self.syntax)
        wanted = tuple(reversed(closed))
        lengths = range(len(wanted), len(self.still_open) + 1)
        return next((n for n in lengths if self.still_open[:n][n - len(wanted) :] == wanted), 0)

    def indented(self, raw: str) -> str:
        """``raw`` with its lines indented by tabs or spaces, whichever the document uses."""
        if "\n" not in raw or self._uses_tabs is None:
            return raw
        first, *lines = raw.split("\n")
        return "\n".join([first, *(_reindented(line, tabs=self._uses_tabs) for line in lines)])

    @cached_property
    def _uses_tabs(self) -> bool | None:
        """Whether the nearest indented line above is so by a tab; ``None`` without one."""
        found = _LAST_INDENTED.match(self.before[-_SEEN_CHARS:])
        return None if found is None else found[1] == "\t"

    @cached_property
    def is_block_start(self) -> bool:
        """Whether the lines of a block come next and none stands there yet."""
        if self.line_after.strip() or (self.still_open and self.syntax.is_indented):
            return False
        opener = self.before.rstrip()
        if not opener.endswith(":" if self.syntax.is_indented else "{"):
            return False
        above = opener[opener.rfind("\n") + 1 :]
        if above.lstrip().startswith(self.syntax.line_comments):
            return False
        below = next((line for line in self.after.split("\n")[1:] if line.strip()), "")
        return indentation(below) <= indentation(above)


def _reindented(line: str, *, tabs: bool) -> str:
    content = line.lstrip(" \t")
    leading = line[: len(line) - len(content)]
    if not leading or (leading[0] == "\t") is tabs:
        return line
    n_levels, n_spaces = divmod(len(leading.expandtabs(_LEVEL)), _LEVEL)
    return ("\t" * n_levels + " " * n_spaces if tabs else leading.expandtabs(_LEVEL)) + content


def indentation(line: str) -> int:
    """Columns of leading white space, tabs to the next multiple of eight as Python reads them."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(_TAB_WIDTH))


def _closed_by(after: str, still_open: tuple[str, ...], syntax: Syntax) -> list[str]:
    """What a text closes of what is open before it, in that order.

    Brackets further in that it does not close are left for what comes between.
    """
    scanner, closed, position = Scanner(syntax, still_open), list[str](), 0
    while n_open := len(scanner.open):
        at = scanner.read(after[position:], keep=n_open)
        if at is None or len(scanner.open) != n_open:
            break
        position += at
        closing = _closing_at(after, position, scanner.open, syntax)
        if closing is None:
            break
        place, mark = closing
        closed.append(scanner.open[place])
        del scanner.open[place:]
        position += len(mark)
    return closed


def _closing_at(
    after: str, position: int, still_open: list[str], syntax: Syntax
) -> tuple[int, str] | None:
    """Place among what is open of what ends here, and the mark that ends it."""
    for place in range(len(still_open) - 1, -1, -1):
        one = still_open[place]
        mark = OPENERS.get(one, one.removeprefix("f"))
        if after.startswith(mark, position):
            is_other = mark in syntax.long_quotes and after.count(mark, position) % 2 == 0
            return None if is_other else (place, mark)  # another string begins there and ends
        if is_string_or_comment(one):
            return None
    return None
