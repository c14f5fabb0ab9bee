"""Long literals whose name says that they are secret, in the ways Python writes such a pair.

A literal is found first; what stands before it is then read at most ``_NAME_CHARS`` back, so that
the work is linear in the text. A line break may be followed by the sign of a diff.
"""

import re

from code2lora_lsp.history.secret_values import looks_random

LITERAL = re.compile(r"([\"'])([^\s\"']{16,512})(?=[\"'])")
"""Group 2 is what stands between two quotes, without white space."""

BREAK = r"\s{0,4}(?:\\?\r?\n[ +\-]?[ \t]{0,60})?"
"""Where a line may end, in a file or in a diff."""

_PART = r"(?i:\b[bruf]{1,2})?(?:\"[^\s\"']{1,512}\"|'[^\s\"']{1,512}')"
JOINED = re.compile(rf"(?=[\"']){_PART}(?:{BREAK}{_PART})+")
"""Literals that Python makes one of, as they stand next to each other."""
_OF_JOINED = re.compile(r"(\w*[\"'])([^\s\"']+)([\"'])")

_NAME_CHARS = 200
_NAME = (
    r"(?:password|passwd|passphrase|secret|token(?!i[sz])|(?:api|access|account|private)[-_]?key"
    r"|(?<![a-z])(?:pass|pwd)(?![a-z]))\w{0,12}"
)
_ANNOTATION = (
    r":\s{0,4}[\"']?[a-z][\w.| ]{0,40}(?:\[[\w.,|\[\] ]{0,80}\][\w.| ]{0,20})?[\"']?\s{0,4}"
)
_DEFAULT = r"(?:default\s{0,4}=\s{0,4})?"
_ASSIGNED = rf"{_NAME}[\"']?\]?\s{{0,4}}(?:{_ANNOTATION})?[=!:]?[:=]{BREAK}"
_OTHERWISE = rf"{_NAME}[\"']?[\])]{{0,2}}\s{{1,4}}(?-i:or)\s{BREAK}"
_SECOND_ARGUMENT = rf"\w\({BREAK}[\"'][\w.\-]{{0,40}}{_NAME}[\"'],{BREAK}{_DEFAULT}"
_WRAPPER = rf"[\w.]{{0,30}}\b(?:Field|SecretStr|SecretBytes|str|bytes)\({BREAK}{_DEFAULT}"
_BEFORE = re.compile(
    rf"(?i)(?:{_ASSIGNED}|{_OTHERWISE}|{_SECOND_ARGUMENT})"
    rf"(?P<group>\({BREAK})?(?:{_WRAPPER}){{0,2}}(?P<prefix>\b[bruf]{{1,2}})?(?:\"\"|'')?\Z"
)


def is_named_secret(literal: re.Match[str]) -> bool:
    """Whether a match of ``LITERAL`` looks random, and the name before it tells of a secret."""
    return _is_secret(literal[2], literal.start(), literal.end() + 1, literal.string)


def replace_joined(text: str, placeholder: str) -> tuple[str, int]:
    """``text`` with every part of joined literals replaced that are one named secret.

    The parts stay apart, so that no line goes; and how many secrets there were.
    """
    count = 0

    def replaced(joined: re.Match[str]) -> str:
        nonlocal count
        parts = _OF_JOINED.findall(joined[0])
        value = "".join(part for _, part, _ in parts)
        is_format = any("f" in before.lower() for before, _, _ in parts)
        if not _is_secret(value, joined.start(), joined.end(), text, is_format=is_format):
            return joined[0]
        count += 1
        return _OF_JOINED.sub(rf"\g<1>{placeholder}\g<3>", joined[0])

    return JOINED.sub(replaced, text), count


def _is_secret(value: str, start: int, end: int, text: str, *, is_format: bool = False) -> bool:
    """Whether a value that stands in quotes from ``start`` to ``end`` is random and named so."""
    if not looks_random(value):
        return False
    before = _BEFORE.search(text, max(0, start - _NAME_CHARS), start)
    if before is None or (before["group"] and text.startswith(",", end)):
        return False
    is_format = is_format or "f" in (before["prefix"] or "").lower()
    return not is_format or looks_random(value, is_format=True)
