"""The language server: composed here, run over stdio or TCP."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from lsprotocol import types

from code2lora_lsp.config import Settings
from code2lora_lsp.runtime.api import BackendFactory
from code2lora_lsp.server import (
    comparison,
    configuration,
    document_sync,
    events,
    history_request,
    inline_completion,
    lifecycle,
    protocol,
    status,
)
from code2lora_lsp.server.commands import COMMANDS
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.transport import serve_stdio, serve_tcp
from code2lora_lsp.server.wire import FaultsOnly

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"

# a busy Python thread hands the interpreter over after this long; at the default 5 ms it raises
# the loop's median wake-up from 0.2 to 5.5 ms
_SWITCH_INTERVAL_S = 0.0005

_FEATURES: dict[str, Callable[..., Any]] = {
    types.INITIALIZE: lifecycle.initialize,
    types.INITIALIZED: lifecycle.initialized,
    types.SHUTDOWN: lifecycle.shutdown,
    types.TEXT_DOCUMENT_DID_OPEN: document_sync.did_open,
    types.TEXT_DOCUMENT_DID_CHANGE: document_sync.did_change,
    types.TEXT_DOCUMENT_DID_SAVE: document_sync.did_save,
    types.TEXT_DOCUMENT_DID_CLOSE: document_sync.did_close,
    types.TEXT_DOCUMENT_INLINE_COMPLETION: inline_completion.inline_completion,
    types.WORKSPACE_DID_CHANGE_CONFIGURATION: configuration.did_change,
    types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: lifecycle.folders_changed,
    protocol.STATUS: status.answer_status,
    protocol.HISTORY: history_request.answer_history,
    protocol.COMPARE: comparison.compare,
    protocol.DID_FOCUS: document_sync.did_focus,
    protocol.DID_SHOW_COMPLETION: document_sync.did_show,
    protocol.DID_PARTIALLY_ACCEPT_COMPLETION: document_sync.did_accept_part,
}


def create_server(
    backend_factory: BackendFactory, settings: Settings, version: str
) -> Code2LoraServer:
    """A server for one client; ``backend_factory`` runs after ``initialized``, off the loop."""
    _quieten_pygls()
    server = Code2LoraServer(backend_factory, settings, version)
    server.on_event = partial(events.dispatch, server)
    server.on_settings = partial(lifecycle.settings_changed, server)
    for method, handler in _FEATURES.items():
        server.feature(method)(handler)
    for name, command in COMMANDS.items():
        server.command(name)(command)
    return server


def run_stdio(server: Code2LoraServer) -> int:
    """Serve over stdin and stdout until the client is gone; the exit code LSP asks for.

    Stdout belongs to the protocol from here on: what anything prints appears on stderr.
    """
    return _run(server, serve_stdio(server))


def run_tcp(
    server: Code2LoraServer,
    host: str = LOOPBACK,
    port: int = 0,
    on_listening: Callable[[str, int], None] | None = None,
) -> int:
    """Serve the first client that connects to ``host:port``; port 0 takes a free one.

    Raises:
        SetupError: the address cannot be used.
    """
    return _run(server, serve_tcp(server, host, port, on_listening or _log_address))


def _log_address(host: str, port: int) -> None:
    log.warning("listening on %s:%d", host, port)
    if host not in (LOOPBACK, "::1"):
        log.warning("anyone who reaches %s:%d can read the documents you edit", host, port)


def _run(server: Code2LoraServer, serving: Coroutine[Any, Any, None]) -> int:
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        asyncio.run(serving)
    except KeyboardInterrupt:
        log.info("interrupted")
    code = 0 if server.session.was_shut_down else 1
    if not server.host.is_closed:
        # an import or a native call is still running; finalising under it can crash or hang
        log.warning("the engine is still busy; leaving without it")
        logging.shutdown()
        os._exit(code)
    return code


def _quieten_pygls() -> None:
    """Keep message bodies, which hold the user's code, out of the log, where pygls puts them."""
    pygls = logging.getLogger("pygls")
    pygls.setLevel(max(pygls.level, logging.ERROR))
    logging.getLogger("pygls.protocol.json_rpc").addFilter(FaultsOnly())
