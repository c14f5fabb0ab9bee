"""``code2lora/history``: what an adapter panel shows of one repository and of this session."""

import asyncio
from pathlib import Path

from code2lora_lsp.config import state_root
from code2lora_lsp.runtime.commit_records import (
    Followed,
    followed_path,
    read_followed,
    records_json,
)
from code2lora_lsp.server import protocol
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.places import path_named, path_of_document
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
    session = ls.session
    if given.get("root"):
        path = path_named(given["root"])
        return session.repositories.root_of(path) or path
    if given.get("uri") is None:
        return session.active_root()
    document = path_of_document(given["uri"])
    return session.repositories.root_of(document) if document else session.folder_root()
