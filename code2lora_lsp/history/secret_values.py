"""Whether a value may be a secret: random characters, and no template that asks for one."""

import math
import re
from collections import Counter

SHORTEST_CHARS = 16
SHORTEST_PASSWORD_CHARS = 8
LEAST_ENTROPY_BITS = 3.0
"""Per character."""

_HOLE = re.compile(r"\$?\{[^{}]*\}|%\(\w*\)[a-z]?")
_TEMPLATE = re.compile(
    r"\A<.*>\Z|\A[\w.\-\[\]]+[<>~]=\d|(?i:example|changeme|placeholder|x{6}|your[-_])|\(\?[:=!P]"
)
"""Named as one, in angle brackets, the name of a package with its versions, or a regular expression
with groups."""


def looks_random(value: str, *, is_format: bool = False) -> bool:
    """Whether enough letters and digits stand outside of holes to be filled.

    Args:
        value: without white space.
        is_format: of an f-string, where an open brace begins code.
    """
    rest = _own(value)
    if rest is None or len(rest) < SHORTEST_CHARS or (is_format and "{" in rest):
        return False
    return _mixes_letters_and_digits(rest) and _entropy_bits(rest) >= LEAST_ENTROPY_BITS


def looks_like_password(value: str) -> bool:
    """The weaker rule, for what stands where only a password can."""
    rest = _own(value)
    if rest is None or len(rest) < SHORTEST_PASSWORD_CHARS:
        return False
    return _mixes_letters_and_digits(rest)


def _own(value: str) -> str | None:
    """``value`` less its holes, such as ``{name}``; ``None`` when it is a template as a whole."""
    return None if _TEMPLATE.search(value) else _HOLE.sub("", value)


def _mixes_letters_and_digits(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _entropy_bits(value: str) -> float:
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
