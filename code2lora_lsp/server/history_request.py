"""``code2lora/history``: what an adapter panel shows of one repository and of this session."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from code2lora_lsp.config import state_root
from code2lora_lsp.runtime.commit_records import (
    Followed,
    followed_path,
    read_followed,
    records_json,
)
from code2lora_lsp.server import protocol
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.session import path_of
from code2lora_lsp.server.wire import Refused

MOST_COMMITS = 200


async def answer_history(ls: Code2LoraServer, params: object) -> protocol.Json:
    """From disk: the answer is there before the model is.

    Raises:
        Refused: the parameters have another shape.
    """
    root, limit = _decoded(ls, params)
    followed = Followed()
    if root is not None:
        path = followed_path(state_root(ls.session.settings), root)
        followed = await asyncio.to_thread(read_followed, path)
    return {
        "schemaVersion": protocol.SCHEMA_VERSION,
        "root": str(root) if root else None,
        "referenceCommit": followed.reference,
        "commits": records_json(followed.newest_first[:limit]),
        "latency": ls.metrics.latencies.latency_json(),
        "cache": ls.metrics.latencies.cache_json(),
        "acceptance": await ls.metrics.acceptance_json(),
    }


def _decoded(ls: Code2LoraServer, params: object) -> tuple[Path | None, int]:
    """The repository meant, and how many commits at most."""
    given = {} if params is None else params
    if not isinstance(given, dict):
        raise Refused(f"expected an object with root, uri or limit, got {given!r}")
    limit = given.get("limit", MOST_COMMITS)
    if not isinstance(limit, int) or limit < 1:
        raise Refused(f"limit: expected 1 or more, got {limit!r}")
    return _root(ls, given), limit


def _root(ls: Code2LoraServer, given: protocol.Json) -> Path | None:
    root, uri = given.get("root"), given.get("uri")
    if not root and uri is None:
        return ls.session.active_root()
    path = _path(root or uri)
    if path is None and not root and _is_uri(uri):
        return ls.session.folder_root()
    if path is None:
        raise Refused(f"expected an absolute path or a file URI, got {root or uri!r}")
    known = ls.session.repositories.root_of(path)
    return path if known is None and root else known


def _path(place: object) -> Path | None:
    """An absolute path, or the one a file URI names, links resolved."""
    if not isinstance(place, str):
        return None
    path = path_of(place) if ":/" in place else Path(place)
    return path.resolve() if path is not None and path.is_absolute() else None


def _is_uri(place: object) -> bool:
    """Whether it names a document at all; one letter before the colon is a drive."""
    return isinstance(place, str) and len(urlsplit(place).scheme) > 1
