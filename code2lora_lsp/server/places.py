"""What a client may give as a place: an absolute path, a file URI, a document in no file."""

import re
from pathlib import Path

from code2lora_lsp.server.session import path_of
from code2lora_lsp.server.wire import Refused

_DOCUMENT = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")
"""Begins a URI, of whatever kind and however malformed; one letter is a drive."""


def path_named(place: object) -> Path:
    """An absolute path, or the one a file URI names, links resolved.

    Raises:
        Refused: it is something else.
    """
    path = None
    if isinstance(place, str):
        path = path_of(place) if ":/" in place else Path(place)
    if path is None or not path.is_absolute() or "\0" in str(path):
        raise Refused(f"expected a file URI or an absolute path, got {place!r}")
    return path.resolve()


def path_of_document(uri: object) -> Path | None:
    """As ``path_named``; ``None`` for a document that is in no file, such as an untitled one."""
    if isinstance(uri, str) and _DOCUMENT.match(uri) and path_of(uri) is None:
        return None
    return path_named(uri)
