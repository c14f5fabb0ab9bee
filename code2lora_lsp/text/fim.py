r"""Around the cursor → prompt token ids within a budget.

The two orders, exactly as the embedded model was trained:

    SPM: <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix
    PSM: <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|>

In SPM order the model goes on where the prefix ends, and all that changes while the user types
is the end of the prompt; the engine then reuses its cache for everything before it.

Lines are encoded one by one, each with its "\n", and remembered. The embedded model's tokenizer
is trained so that this equals encoding the text whole. For others, such as Qwen's, whose tokens
may span a line break, it is a good approximation: the text is the same, some splits are not.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from code2lora_lsp.text.tokenizer import FimTokens, Tokenizer

Order = Literal["spm", "psm"]

N_MARKERS = 3
LINE_CACHE_SIZE = 20_000
N_WINDOWS = 32
_HALF_PAIR = re.compile("[\ud800-\udfff]")
MOST_CHARS_PER_TOKEN = 16
"""Text further than this many characters per budget token from the cursor is never looked at."""


@dataclass(frozen=True)
class FimPrompt:
    """A prompt ready to be fed.

    Attributes:
        token_ids: markers, prefix and suffix in ``order``.
        prefix_tokens: tokens of text before the cursor, the path header included.
        suffix_tokens: tokens of text after it.
    """

    token_ids: tuple[int, ...]
    order: Order
    prefix_tokens: int
    suffix_tokens: int


def stop_ids(fim: FimTokens) -> frozenset[int]:
    """Ids that end a completion: end of text, and every marker a prompt is built from."""
    return frozenset({fim.end_of_text, fim.prefix, fim.suffix, fim.middle})


class LineTokens:
    """Token ids of single lines, each encoded once while it is remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[int, ...]] = {}

    def of(self, line: str) -> tuple[int, ...]:
        """Ids of a whole line with its line break; remembered."""
        found = self._known.get(line)
        if found is None:
            if len(self._known) >= LINE_CACHE_SIZE:
                self._known.clear()
            found = self._known[line] = tuple(self._tokenizer.encode(line))
        return found

    def of_part(self, text: str) -> tuple[int, ...]:
        """Ids of part of a line, which changes with each key; not remembered."""
        return tuple(self._tokenizer.encode(text)) if text else ()


@dataclass(frozen=True)
class _Window:
    """Where a document's prefix window began last time.

    ``start`` is an offset; ``head`` the text found there, to see whether it is still true.
    """

    start: int
    head: str


class PromptBuilder:
    """Builds prompts for one model; remembers lines and where each document's window begins.

    The prefix window is anchored: it begins at a line start and stays there while the user
    types, so that the cache keeps fitting. When it outgrows its budget it jumps forward by a
    quarter of it. Not thread-safe: its owner is the engine's thread.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        order: Order,
        prompt_tokens: int,
        suffix_tokens: int,
    ) -> None:
        """Budgets are in tokens; ``prompt_tokens`` is the whole prompt, markers included.

        Raises:
            ModelMismatch: the model has no fill-in-the-middle tokens.
        """
        self.fim = tokenizer.fim_tokens()
        self.order = order
        self._lines = LineTokens(tokenizer)
        self._suffix_budget = min(suffix_tokens, prompt_tokens // 2)
        self._prefix_budget = prompt_tokens - self._suffix_budget - N_MARKERS
        self._windows: dict[str, _Window] = {}

    def build(
        self, uri: str, before: str, after: str, path: str | None = None, *, room_tokens: int = 0
    ) -> FimPrompt:
        """Prompt for a cursor between two texts.

        Args:
            uri: which document; its window's place is remembered under this name.
            before: text up to the cursor, line breaks as LF.
            after: text behind the cursor, line breaks as LF.
            path: of the document in its repository; put first as ``# path`` when the window
                reaches back to the start of the file.
            room_tokens: the window jumps now if it has less room than this left, and not when it
                has none: for prompts that are read while nobody waits.
        """
        prefix = self._prefix(uri, before, f"# {path}\n" if path else "", room_tokens)
        suffix = self._suffix(after)
        fim = self.fim
        if self.order == "spm":
            ids = (fim.prefix, fim.suffix, *suffix, fim.middle, *prefix)
        else:
            ids = (fim.prefix, *prefix, fim.suffix, *suffix, fim.middle)
        return FimPrompt(ids, self.order, len(prefix), len(suffix))

    @property
    def jump_room_tokens(self) -> int:
        """An eighth of the prefix budget: half of what a jump gains."""
        return self._prefix_budget // 8

    def _prefix(self, uri: str, before: str, header: str, room_tokens: int) -> tuple[int, ...]:
        start = self._remembered_start(uri, before)
        is_near = len(before) - start <= self._prefix_budget * MOST_CHARS_PER_TOKEN
        ids = self._encoded(before[start:], header if start == 0 else "") if is_near else ()
        is_short = start > 0 and len(ids) < self._prefix_budget // 2
        if not is_near or is_short or len(ids) > self._prefix_budget - room_tokens:
            start = self._fresh_start(before, header, room_tokens)
            ids = self._encoded(before[start:], header if start == 0 else "")
        self._remember(uri, _Window(start, before[start : start + 200]))
        return ids[-self._prefix_budget :]

    def _encoded(self, text: str, header: str) -> tuple[int, ...]:
        """Ids of ``header`` and ``text``; of one over the budget, enough to see that it is."""
        ids = list(self._lines.of(header)) if header else []
        for line in _lines(text):
            ids += self._lines.of(line) if line.endswith("\n") else self._lines.of_part(line)
            if len(ids) > self._prefix_budget:
                break
        return tuple(ids)

    def _remembered_start(self, uri: str, before: str) -> int:
        """Where the window began, found again by its text after edits above it; else 0."""
        window = self._windows.get(uri)
        if window is None or window.start == 0:
            return 0
        if before.startswith(window.head, window.start) and before[window.start - 1] == "\n":
            return window.start
        found = before.rfind("\n" + window.head)
        return found + 1

    def _fresh_start(self, before: str, header: str, room_tokens: int) -> int:
        """Start of a window that fills three quarters of the budget; 0 if the whole text fits."""
        if len(before) <= self._prefix_budget * MOST_CHARS_PER_TOKEN:
            whole = self._encoded(before, header)
            if len(whole) <= self._prefix_budget - room_tokens:
                return 0
        room = self._prefix_budget * 3 // 4
        end, part_start = len(before), before.rfind("\n") + 1
        used = len(self._lines.of_part(before[max(part_start, end - room * 8) :]))
        start = part_start
        while start > 0:
            line_start = before.rfind("\n", 0, start - 1) + 1
            if end - line_start > self._prefix_budget * MOST_CHARS_PER_TOKEN:
                break
            used += len(self._lines.of(before[line_start:start]))
            if used > room:
                break
            start = line_start
        return self._cut_in_line(before, start)

    def _cut_in_line(self, before: str, start: int) -> int:
        """``start``, moved into an over-long last line in jumps, for there is no line start."""
        longest, jump = self._prefix_budget * 3, self._prefix_budget
        if "\n" in before[start:] or len(before) - start <= longest:
            return start
        return start + (len(before) - start - longest + jump - 1) // jump * jump

    def _suffix(self, after: str) -> tuple[int, ...]:
        """Ids of the text behind the cursor, cut at a line end within the budget."""
        near = after[: self._suffix_budget * MOST_CHARS_PER_TOKEN]
        ids: list[int] = []
        for line in _lines(near):
            of_line = self._lines.of(line) if line.endswith("\n") else self._lines.of_part(line)
            if len(ids) + len(of_line) > self._suffix_budget:
                return tuple(ids or of_line[: self._suffix_budget])
            ids += of_line
        return tuple(ids)

    def _remember(self, uri: str, window: _Window) -> None:
        self._windows.pop(uri, None)
        self._windows[uri] = window
        while len(self._windows) > N_WINDOWS:
            del self._windows[next(iter(self._windows))]


def _lines(text: str) -> Iterator[str]:
    """Lines with their LF; only LF ends a line here, unlike in ``str.splitlines``."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def common_newline(text: str) -> str:
    """The line break a text uses: that of its first line, LF if it has none."""
    at = text.find("\n")
    return "\r\n" if at > 0 and text[at - 1] == "\r" else "\n"


def as_read(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts as a model can read them.

    Every CRLF and CR is LF, which is all it has seen; half a surrogate pair, which no tokenizer
    takes, is U+FFFD, one character for one.
    """
    return tuple(_whole(text.replace("\r\n", "\n").replace("\r", "\n")) for text in texts)


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _HALF_PAIR.sub("\N{REPLACEMENT CHARACTER}", text)
    return text
