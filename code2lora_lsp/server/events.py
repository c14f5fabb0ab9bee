"""What the backend's events do, on the event loop."""

from lsprotocol import types

from code2lora_lsp.runtime.api import (
    BackendStatus,
    EngineState,
    Event,
    HistoryChanged,
    Incident,
    ProgressBegan,
    ProgressEnded,
    ProgressMoved,
    Reason,
    StatusChanged,
)
from code2lora_lsp.server import completion, inline_completion, protocol
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.status import announce, backend_status


def dispatch(ls: Code2LoraServer, event: Event) -> None:
    match event:
        case ProgressBegan():
            ls.progress_bars.began(event)
        case ProgressMoved():
            ls.progress_bars.moved(event)
        case ProgressEnded():
            ls.progress_bars.ended(event)
        case Incident(message, is_error):
            ls.tell_once(message, is_error=is_error)
            announce(ls)
        case StatusChanged(status):
            take_status(ls, status)
        case HistoryChanged():
            ls.protocol.notify(protocol.HISTORY_CHANGED, protocol.to_json(event))


def take_status(ls: Code2LoraServer, seen: BackendStatus) -> None:
    """The event says that something changed; what holds now is asked for.

    Two threads of the backend may report in the other order than they looked.
    """
    status = seen if ls.host.backend is None else ls.host.backend.status()
    if status.engine is EngineState.UNLOADED:
        ls.session.pending.drop_all(Reason.UNLOADED, "")
    elif status.engine is EngineState.FAILED:
        ls.session.pending.drop_all(Reason.FAILED, status.detail)
    announce(ls, status)
    register_for(ls, status)


def register_for(ls: Code2LoraServer, status: BackendStatus | None = None) -> None:
    """Register what the engine can answer now; take it back when it no longer can.

    Which languages those are may change; while the model loads again, what is registered stays so.
    """
    engine = (status or backend_status(ls)).engine
    is_ready = engine is EngineState.READY
    is_gone = engine in (EngineState.UNLOADED, EngineState.FAILED)
    client, languages = ls.session.client, ls.session.served_languages()
    method = types.TEXT_DOCUMENT_INLINE_COMPLETION
    if client.inline_dynamic and (is_ready or is_gone or ls.registrations.is_active(method)):
        options = None if is_gone else inline_completion.registration_options(languages)
        ls.spawn(ls.registrations.set(method, options))
    method = types.TEXT_DOCUMENT_COMPLETION
    if client.completion_dynamic and (is_ready or is_gone or ls.registrations.is_active(method)):
        is_wanted = not is_gone and completion.is_due(ls.session.settings, client)
        fallback = completion.registration_options(languages) if is_wanted else None
        ls.spawn(ls.registrations.set(method, fallback))
