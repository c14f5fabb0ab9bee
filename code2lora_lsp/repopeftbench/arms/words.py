"""Code → the words that lexical retrieval and overlap count."""

import keyword
import re

_NAME = re.compile(r"[A-Za-z_]\w*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def names_of(text: str) -> list[str]:
    """Every identifier in order, with repetitions and without keywords."""
    return [name for name in _NAME.findall(text) if not keyword.iskeyword(name)]


def words_of(text: str) -> list[str]:
    """Every identifier, lower case, followed by its parts: ``openFile_v2`` → open, file, v, 2."""
    words: list[str] = []
    for name in names_of(text):
        parts = [part.lower() for part in _PART.findall(name)]
        words += [name.lower(), *parts] if len(parts) > 1 else [name.lower()]
    return words
