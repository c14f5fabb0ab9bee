"""Token healing: what is typed of the last word is taken back and chosen anew, as whole tokens.

A cursor often stands inside what would be one token ("Optio", "x = "). Going on from the pieces
asks the model for tokens it has hardly ever seen there. So the last pre-token before the cursor is
left out of the prompt, and what the model writes must begin with it. While a word is being typed
the prompt also stays the same, and with it all that is cached.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice

from code2lora_lsp.text.tokenizer import Tokenizer

LONGEST_TYPED_CHARS = 48
N_REMEMBERED = 256
_BLANKS = (" ", "\t")
_BLANK_BYTES = (b" ", b"\t")


class TokenBytes:
    """The bytes of every ordinary token, in order, to find those that can stand for a text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        known = tokenizer.token_bytes()
        self.of = known
        self._sorted = sorted((content, token_id) for token_id, content in known.items())
        self._by_bytes = {content: token_id for token_id, content in known.items()}
        self._found: dict[bytes, list[int]] = {}

    def beginning(self, wanted: bytes) -> list[int]:
        """Ids of tokens that begin with ``wanted`` or are a beginning of it; do not change them.

        White space is not made longer: the cursor stands where the code is to begin.
        """
        found = self._found.get(wanted)
        if found is None:
            if len(self._found) >= N_REMEMBERED:
                self._found.clear()
            found = self._found[wanted] = self._search(wanted)
        return found

    def _search(self, wanted: bytes) -> list[int]:
        is_space = not wanted.strip()
        longer: list[int] = []
        for content, token_id in islice(
            self._sorted, bisect_left(self._sorted, (wanted, -1)), None
        ):
            if not content.startswith(wanted):
                break
            if not (is_space and content[len(wanted) : len(wanted) + 1] in _BLANK_BYTES):
                longer.append(token_id)
        parts = (self._by_bytes.get(wanted[:length]) for length in range(1, len(wanted)))
        return [*longer, *(token_id for token_id in parts if token_id is not None)]


class Healer:
    """Takes back the last pre-token. Works with byte-level tokenizers; others are left as is."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens = TokenBytes(tokenizer)

    def split(self, before: str) -> tuple[str, str]:
        """``before`` in two: what goes into the prompt, and what the model has to begin with."""
        line = before[before.rfind("\n") + 1 :][-4 * LONGEST_TYPED_CHARS :]
        typed = self._tokenizer.last_piece(line) if self._tokens.of and line else ""
        # What is not ASCII may be stored in another form than it is typed in, and then not match.
        is_usable = typed.isascii() and before.endswith(typed) and len(typed) < LONGEST_TYPED_CHARS
        return (before[: len(before) - len(typed)], typed) if is_usable else (before, "")

    def encode(self, typed: str, rest: str) -> list[int]:
        """Ids that write both and that may come one after the other.

        White space that is typed is not made longer, so blanks after it are tokens of their own.
        """
        encode = self._tokenizer.encode
        if typed and not typed.strip() and rest.startswith(_BLANKS):
            return [*encode(typed), *encode(rest)]
        return encode(typed + rest)

    def begin(self, typed: str) -> "Typed":
        """What has to be written first."""
        return Typed(self._tokens, typed)


class Typed:
    """How much of what is typed the model still has to write."""

    def __init__(self, tokens: TokenBytes, typed: str) -> None:
        self._tokens, self._left = tokens, typed.encode()

    def allowed(self) -> Sequence[int] | None:
        """Ids that may come next; ``None`` once any may."""
        return self._tokens.beginning(self._left) if self._left else None

    def accept(self, token_id: int) -> None:
        """Count a token that was chosen among those allowed."""
        if self._left:
            self._left = self._left[len(self._tokens.of[token_id]) :]
