"""A user and a password side by side: ``auth=("user", "…")``, ``BasicAuth("user", "…")``.

As for named secrets the literal, here the second of the two, is found first, and what stands before
it is read a bounded way back.
"""

import re

from code2lora_lsp.history.named_secrets import BREAK
from code2lora_lsp.history.secret_values import looks_like_password

LAST_OF_TWO = re.compile(rf"([\"'])([^\s\"']{{8,128}})(?=[\"']{BREAK},?{BREAK}\))")
"""Group 2 is what stands between the last two quotes before a closing bracket."""

_PAIR_CHARS = 300
_PLACE = re.compile(r"\A/|://")
_NAME = r"(?i:auth|authentication|credentials?|creds?)[0-9_]{0,2}"
_ANNOTATION = r":\s{0,4}[\"']?[A-Za-z][\w.|, \[\]]{0,80}[\"']?\s{0,4}"
_GIVEN = rf"{_NAME}[\"']?\]?\s{{0,4}}(?:{_ANNOTATION})?[:=]{BREAK}"
_USER = r"(?:[bruf]{0,2}[\"'][^\"'\n]{0,80}[\"']|[A-Za-z_][\w.\[\]\"']{0,80})"
_BEFORE = re.compile(rf"(?:{_GIVEN}|{_NAME})\({BREAK}{_USER}{BREAK},{BREAK}(?i:[bruf]{{1,2}})?\Z")


def is_of_credentials(literal: re.Match[str]) -> bool:
    """Whether a match of ``LAST_OF_TWO`` may be a password, in a pair named as credentials.

    It is none where it is a place: ``auth`` also names functions that ask what may be done there.
    """
    if _PLACE.search(literal[2]) or not looks_like_password(literal[2]):
        return False
    start = literal.start()
    return bool(_BEFORE.search(literal.string, max(0, start - _PAIR_CHARS), start))
