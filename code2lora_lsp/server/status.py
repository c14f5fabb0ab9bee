"""``code2lora/status`` and ``code2lora/statusChanged``."""

from collections.abc import Awaitable

from code2lora_lsp.runtime.api import BackendStatus, EngineState
from code2lora_lsp.server import protocol
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.session import document_key


def backend_status(ls: Code2LoraServer) -> BackendStatus:
    """The backend's status, or what stands for it before there is one."""
    if ls.host.backend is not None:
        return ls.host.backend.status()
    if ls.host.failure:
        return BackendStatus(EngineState.FAILED, detail=ls.host.failure)
    return BackendStatus(EngineState.LOADING if ls.host.is_started else EngineState.ABSENT)


def full_status(ls: Code2LoraServer) -> protocol.Json:
    return protocol.status_json(ls.session, backend_status(ls), ls.host.failure, ls.version)


def answer_status(ls: Code2LoraServer, _params: object) -> protocol.Json:
    return full_status(ls)


def announce(ls: Code2LoraServer, status: BackendStatus | None = None) -> None:
    """Tell the client the short status, if it is not what it heard last."""
    short = protocol.short_status(ls.session, status or backend_status(ls), ls.host.failure)
    if short != ls.last_status:
        ls.last_status = short
        ls.protocol.notify(protocol.STATUS_CHANGED, short)


async def announce_after(ls: Code2LoraServer, change: Awaitable[None]) -> None:
    """The same, once the followed repositories have changed: the one in use may be another."""
    await change
    announce(ls)


def look_at(ls: Code2LoraServer, uri: str | None) -> None:
    """The user works in this document now; the status is about it and its repository."""
    if document_key(ls.session.active or "") != document_key(uri or ""):
        ls.session.active = uri
        ls.session.reason = None
        announce(ls)
