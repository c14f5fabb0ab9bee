"""Long literals whose name says that they are secret, in the ways Python writes such a pair.

A literal is found first; what stands before it is then read at most ``_NAME_CHARS`` back, so that
the work is linear in the text. A line break may be followed by the sign of a diff.
"""

import re

from code2lora_lsp.history.secret_values import looks_random

LITERAL = re.compile(r"([\"'])([^\s\"']{16,512})(?=[\"'])")
"""Group 2 is what stands between two quotes, without white space."""

_NAME_CHARS = 200
_NAME = (
    r"(?:password|passwd|passphrase|secret|token(?!i[sz])|(?:api|access|account|private)[-_]?key"
    r"|(?<![a-z])(?:pass|pwd)(?![a-z]))\w{0,12}"
)
_ANNOTATION = (
    r":\s{0,4}[\"']?[a-z][\w.| ]{0,40}(?:\[[\w.,|\[\] ]{0,80}\][\w.| ]{0,20})?[\"']?\s{0,4}"
)
_BREAK = r"\s{0,4}(?:\\?\r?\n[ +\-]?[ \t]{0,60})?"
_DEFAULT = r"(?:default\s{0,4}=\s{0,4})?"
_ASSIGNED = rf"{_NAME}[\"']?\]?\s{{0,4}}(?:{_ANNOTATION})?[=!:]?[:=]{_BREAK}"
_OTHERWISE = rf"{_NAME}[\"']?[\])]{{0,2}}\s{{1,4}}(?-i:or)\s{_BREAK}"
_SECOND_ARGUMENT = rf"\w\({_BREAK}[\"'][\w.\-]{{0,40}}{_NAME}[\"'],{_BREAK}{_DEFAULT}"
_WRAPPER = rf"[\w.]{{0,30}}\b(?:Field|SecretStr|SecretBytes|str|bytes)\({_BREAK}{_DEFAULT}"
_BEFORE = re.compile(
    rf"(?i)(?:{_ASSIGNED}|{_OTHERWISE}|{_SECOND_ARGUMENT})"
    rf"(?P<group>\({_BREAK})?(?:{_WRAPPER}){{0,2}}(?P<prefix>\b[bruf]{{1,2}})?(?:\"\"|'')?\Z"
)


def is_named_secret(literal: re.Match[str]) -> bool:
    """Whether a match of ``LITERAL`` looks random, and the name before it tells of a secret."""
    if not looks_random(literal[2]):
        return False
    start = literal.start()
    before = _BEFORE.search(literal.string, max(0, start - _NAME_CHARS), start)
    if before is None or (before["group"] and _is_in_tuple(literal)):
        return False
    is_format = "f" in (before["prefix"] or "").lower()
    return not is_format or looks_random(literal[2], is_format=True)


def _is_in_tuple(literal: re.Match[str]) -> bool:
    return literal.string.startswith(",", literal.end() + 1)
