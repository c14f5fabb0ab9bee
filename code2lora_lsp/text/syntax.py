"""What of a text is open at a place: brackets, strings and comments, as its language writes them.

No parser: code around a cursor is seldom whole, and what is asked here is asked once per token.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
_WINDOW_CHARS = 20_000
"""So much is read before a cursor; of a longer text from the start of a definition on."""

_STRING_PREFIX = re.compile(r"(?<![\w])[rRbBuUfFtT]{1,2}\Z")
_LEFT_EDGE = re.compile(r"[^\s)\]}#\"']")
_NEW_STATEMENT = re.compile(
    r"[ \t]*(?:@|(?:async )?(?:def|with)\b"
    r"|(?:class|return|import|raise|while|try|pass|break|continue|del|assert|global|nonlocal)\b)"
)
_DEFINITION = re.compile(r"^(?:@|(?:async )?def |class )", re.MULTILINE)


@dataclass(frozen=True)
class Syntax:
    """How a language writes what is not code, and where its blocks end.

    Attributes:
        line_comments: what begins a comment that ends with its line.
        block_comment: what begins and ends one that does not.
        quotes: of strings that end with their line.
        long_quotes: of strings that may go on for lines.
        is_indented: indentation makes a block, and ":" opens one; else brackets do.
        has_formats: strings prefixed with f or t hold code in braces, ``${`` opens it in backticks.
    """

    line_comments: tuple[str, ...] = ()
    block_comment: tuple[str, str] | None = None
    quotes: tuple[str, ...] = ('"', "'")
    long_quotes: tuple[str, ...] = ()
    is_indented: bool = False
    has_formats: bool = False

    @cached_property
    def marks(self) -> re.Pattern[str]:
        """Everything that can change what is open; longer marks first."""
        comments = [*self.line_comments, *(self.block_comment or ())]
        marks = [*self.long_quotes, *self.quotes, *comments, "\\", "\n", "${", *OPENERS, *CLOSERS]
        return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))


_PYTHON = Syntax(("#",), None, ('"', "'"), ('"""', "'''"), is_indented=True, has_formats=True)
_C_LIKE = Syntax(("//",), ("/*", "*/"))
_SCRIPT = Syntax(("//",), ("/*", "*/"), long_quotes=("`",), has_formats=True)
_RUST = Syntax(("//",), ("/*", "*/"), quotes=('"',))  # ' also begins a lifetime
_GO = Syntax(("//",), ("/*", "*/"), long_quotes=("`",))
_HASH = Syntax(("#",))
_DASH = Syntax(("--",))
_PROSE = Syntax(quotes=())  # an apostrophe is no quote

_OF_LANGUAGE = {
    "python": _PYTHON,
    "yaml": Syntax(("#",), is_indented=True),
    "rust": _RUST,
    "go": _GO,
    **dict.fromkeys(("javascript", "javascriptreact", "typescript", "typescriptreact"), _SCRIPT),
    **dict.fromkeys(
        ("c", "cpp", "csharp", "java", "kotlin", "scala", "swift", "dart", "php", "objective-c"),
        _C_LIKE,
    ),
    **dict.fromkeys(("shellscript", "sh", "ruby", "perl", "r", "toml", "makefile"), _HASH),
    **dict.fromkeys(("lua", "sql", "haskell"), _DASH),
}


def syntax_of(language_id: str) -> Syntax:
    """The syntax of an LSP language id; of an unknown one brackets are all that is known."""
    return _OF_LANGUAGE.get(language_id, _PROSE)


def is_string_or_comment(mark: str) -> bool:
    """Whether something open is text rather than code."""
    return mark not in OPENERS


class Scanner:
    """Reads on, and keeps what is open, the innermost last.

    Open are brackets by their opening one, strings by their quote (``f"`` for one that may hold
    code in braces), and comments by what began them.
    """

    def __init__(self, syntax: Syntax, still_open: tuple[str, ...] = ()) -> None:
        self._syntax = syntax
        self.open = list(still_open)

    def read(self, text: str, keep: int = 0) -> int | None:
        """Read ``text``, up to where something in it closes what is not open.

        Args:
            text: what follows what was read.
            keep: so many of what is open are to stay; closing one of them counts as not open, and
                so does a line break that ends one.

        Returns:
            the place of that mark, or ``None`` if there is none.
        """
        position = 0
        while (found := self._syntax.marks.search(text, position)) is not None:
            mark, position, is_refused = found[0], found.end(), False
            if mark == "\\":
                position += not self._is_in_line_comment  # what follows it closes nothing
            elif mark == "\n":
                self._end_line(text, position)
                is_refused = len(self.open) < keep
            elif self.open and is_string_or_comment(self.open[-1]):
                position, is_refused = self._in_text(text, mark, found.start(), keep)
            else:
                is_refused = self._in_code(text, mark, found.start(), keep)
            if is_refused:
                return found.start()
        return None

    def _in_code(self, text: str, mark: str, start: int, keep: int) -> bool:
        """Take a mark in code; whether it closes what is not open, or what stays."""
        if mark in CLOSERS:
            is_refused = len(self.open) <= keep or self.open[-1] != CLOSERS[mark]
            if not is_refused:
                self.open.pop()
            return is_refused
        format_string = self._format_closed_by(mark)
        if format_string is None:
            self._begin(text, mark, start)
        elif format_string < keep:
            return True
        else:
            del self.open[format_string:]
        return False

    def _begin(self, text: str, mark: str, start: int) -> None:
        """Code begins a bracket, a string or a comment."""
        syntax = self._syntax
        if mark == "${":
            self.open.append("{")
        elif syntax.block_comment and mark == syntax.block_comment[1]:
            return  # the end of a comment nobody began
        elif mark in syntax.quotes or mark in syntax.long_quotes:
            prefix = _STRING_PREFIX.search(text, max(0, start - 3), start)
            is_format = mark == "`" or (prefix is not None and set(prefix[0]) & set("fFtT"))
            self.open.append(f"f{mark}" if syntax.has_formats and is_format else mark)
        else:
            self.open.append(mark)

    def _in_text(self, text: str, mark: str, start: int, keep: int) -> tuple[int, bool]:
        """A mark inside a string or comment: where to go on, and whether it closes what stays."""
        syntax, innermost = self._syntax, self.open[-1]
        end = start + len(mark)
        block = syntax.block_comment
        if block and innermost == block[0]:
            closes = mark == block[1]
        elif innermost in syntax.line_comments:
            closes = False
        else:
            quote = innermost.removeprefix("f")
            if innermost == f"f{quote}" and self._opens_code(text, quote, mark, start):
                doubled = mark == "{" and text.startswith("{{", start)
                if not doubled:
                    self.open.append("{")
                return end + doubled, False
            closes = text.startswith(quote, start)
            end = start + len(quote) if closes else start + 1
        if closes and len(self.open) <= keep:
            return end, True
        if closes:
            self.open.pop()
        return end, False

    @staticmethod
    def _opens_code(text: str, quote: str, mark: str, start: int) -> bool:
        return text.startswith("${", start) if quote == "`" else mark == "{"

    def _format_closed_by(self, mark: str) -> int | None:
        """Place among what is open of the string whose code a quote stands in, if it ends it."""
        strings = [i for i, one in enumerate(self.open) if is_string_or_comment(one)]
        is_end = mark in self._syntax.quotes and strings and self.open[strings[-1]] == f"f{mark}"
        return strings[-1] if is_end else None

    @property
    def _is_in_line_comment(self) -> bool:
        return bool(self.open) and self.open[-1] in self._syntax.line_comments

    def _end_line(self, text: str, start: int) -> None:
        """What does not go on in the next line; and brackets nobody will close any more."""
        syntax = self._syntax
        while any(self._ends_with_line(one) for one in self.open):
            self.open.pop()
        if not syntax.is_indented or any(map(is_string_or_comment, self.open)):
            return
        if _LEFT_EDGE.match(text, start) or _NEW_STATEMENT.match(text, start):
            self.open.clear()

    def _ends_with_line(self, mark: str) -> bool:
        return mark.removeprefix("f") in self._syntax.quotes or mark in self._syntax.line_comments


def open_at_end(text: str, syntax: Syntax) -> tuple[str, ...]:
    """What is open at the end of a text, the innermost last.

    The lines above the last are the same from key to key, and are remembered.
    """
    above, line_break, last_line = text.rpartition("\n")
    takes_line_break = above.endswith("\\")
    if takes_line_break or len(last_line) > _WINDOW_CHARS:
        return _read_on((), _window(text), syntax)
    return _read_on(_open_above(_window(above), syntax), line_break + last_line, syntax)


@lru_cache(maxsize=16)
def _open_above(text: str, syntax: Syntax) -> tuple[str, ...]:
    return _read_on((), text, syntax)


def _window(text: str) -> str:
    """What is read of a text: the last of it, from the start of a definition or of a line on."""
    window = text[-_WINDOW_CHARS:]
    if len(window) == len(text):
        return text
    begins = _DEFINITION.search(window) or re.compile(r"^", re.MULTILINE).search(window, 1)
    return window[begins.start() :] if begins else window


def _read_on(still_open: tuple[str, ...], text: str, syntax: Syntax) -> tuple[str, ...]:
    """What is open behind ``text``; what closes something that is not open is passed over."""
    scanner, position = Scanner(syntax, still_open), 0
    while (unopened := scanner.read(text[position:])) is not None:
        position += unopened + 1
    return tuple(scanner.open)
