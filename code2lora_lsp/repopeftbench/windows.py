"""What is shown around a gap: the text just before and after it, in tokens."""

from collections.abc import Callable, Iterable, Iterator

Encode = Callable[[str], list[int]]
"""Text -> token ids of the backbone's tokenizer."""

PREFIX_TOKENS = {"full": 2048, "128": 128, "32": 32}
SUFFIX_TOKENS = 512


class Windows:
    """Cuts windows of whole lines; remembers how many tokens a line has."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[str, int] = {}

    def before(self, text: str, budget_tokens: int) -> str:
        """The end of ``text``: the line begun, and the whole lines above it that fit.

        A line begun that alone is over the budget is cut to its last tokens.
        """
        cut = text.rfind("\n") + 1
        begun = text[cut:]
        used = self._n_tokens(begun)
        if used > budget_tokens:
            return self._last_words(begun, budget_tokens)
        for start in _line_starts_above(text, cut):
            used += self._n_tokens(text[start:cut])
            if used > budget_tokens:
                break
            cut = start
        return text[cut:]

    def after(self, text: str, budget_tokens: int) -> str:
        """The start of ``text``: whole lines that fit; at least the rest of the first one."""
        used, end = 0, 0
        while end < len(text):
            stop = text.find("\n", end) + 1 or len(text)
            used += self._n_tokens(text[end:stop])
            if used > budget_tokens and end > 0:
                break
            end = stop
        return text[:end]

    def _n_tokens(self, line: str) -> int:
        found = self._known.get(line)
        if found is None:
            found = self._known[line] = len(self._encode(line)) if line else 0
        return found

    def _last_words(self, line: str, budget_tokens: int) -> str:
        """The longest end of ``line`` that fits and begins at a space."""
        starts: Iterable[int] = (i for i, char in enumerate(line) if char == " ")
        fitting = (line[i:] for i in starts if len(self._encode(line[i:])) <= budget_tokens)
        return next(fitting, line[-budget_tokens:])


def _line_starts_above(text: str, offset: int) -> Iterator[int]:
    while offset > 0:
        offset = text.rfind("\n", 0, offset - 1) + 1
        yield offset
