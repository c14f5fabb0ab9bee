"""initialize, initialized, shutdown; and what starts the backend.

``initialize`` is answered from what is already imported. The backend is made after
``initialized``, on a thread of its own, because making it imports torch.
"""

import asyncio
import logging
from pathlib import Path

from lsprotocol import types
from pygls.uris import from_fs_path

from code2lora_lsp.errors import SetupError
from code2lora_lsp.runtime.api import Reason
from code2lora_lsp.server import completion, configuration, document_sync, events
from code2lora_lsp.server.client import ClientTraits
from code2lora_lsp.server.convert import Encoding
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.session import document_key, path_of
from code2lora_lsp.server.status import announce, announce_after

log = logging.getLogger(__name__)


def initialize(ls: Code2LoraServer, params: types.InitializeParams) -> None:
    """Read what the client can do; pygls builds the answer from the features that are left."""
    session = ls.session
    session.client = ClientTraits.of(params.capabilities)
    session.encoding = Encoding.of(str(ls.workspace.position_encoding))
    session.folders = _folders(params)
    if error := configuration.take_initial(ls, params.initialization_options):
        session.late_errors.append(error)
    features, options = ls.protocol.fm.features, ls.protocol.fm.feature_options
    if not session.client.inline_dynamic:
        # without options pygls answers this request but does not advertise it
        options[types.TEXT_DOCUMENT_INLINE_COMPLETION] = types.InlineCompletionOptions()
    is_static = not session.client.completion_dynamic
    if is_static and completion.is_due(session.settings, session.client):
        ls.feature(types.TEXT_DOCUMENT_COMPLETION, completion.OPTIONS)(completion.completion)
    log.info("client %s; features: %s", params.client_info, ", ".join(sorted(features)))


def _folders(params: types.InitializeParams) -> dict[str, Path]:
    """Workspace folders by key, from the newest of the three ways to name them."""
    root_uri = params.root_uri or (from_fs_path(params.root_path) if params.root_path else None)
    listed = [folder.uri for folder in params.workspace_folders or []]
    uris = listed or ([root_uri] if root_uri else [])
    return {document_key(uri): path for uri in uris if (path := path_of(uri))}


async def initialized(ls: Code2LoraServer, _params: types.InitializedParams) -> None:
    """Get the settings, then start the engine."""
    ls.client_log.attach()
    for error in ls.session.late_errors:
        configuration.tell(ls, error)
    if types.TEXT_DOCUMENT_COMPLETION not in ls.protocol.fm.features:
        # after the capabilities went out: answered if registered later, not advertised now
        ls.feature(types.TEXT_DOCUMENT_COMPLETION)(completion.completion)
    ls.spawn(configuration.register(ls))
    if ls.session.client.pulls_configuration:
        await configuration.pull_before_start(ls)
    start_backend(ls)


def start_backend(ls: Code2LoraServer) -> None:
    """Make the backend and follow what is open; again after a failure."""
    ls.host.start(ls.session.settings, ls.listen)
    ls.session.repositories.forget()
    for key, folder in ls.session.folders.items():
        ls.spawn(announce_after(ls, ls.session.repositories.hold(_holder(key), folder)))
    document_sync.hold_repositories(ls)
    announce(ls)


async def hold_folders(ls: Code2LoraServer) -> None:
    """Follow what workspace folders have become repositories, or parts of one, since."""
    repositories = ls.session.repositories
    for key, folder in list(ls.session.folders.items()):
        if not repositories.holds(_holder(key)):
            await repositories.hold(_holder(key), folder)
    announce(ls)


def settings_changed(ls: Code2LoraServer) -> None:
    """Carry new settings to the engine and to what is registered."""
    if ls.host.failure:
        start_backend(ls)
    elif ls.host.is_started:
        ls.spawn(_reconfigure(ls))
        document_sync.hold_repositories(ls)
    events.register_for(ls)
    announce(ls)


async def _reconfigure(ls: Code2LoraServer) -> None:
    settings = ls.session.settings
    try:
        await asyncio.wrap_future(ls.host.call(lambda backend: backend.reconfigure(settings)))
    except SetupError as error:
        ls.tell_once(f"code2lora: {error}", is_error=True)


def folders_changed(ls: Code2LoraServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Follow the repositories of added folders; let go of those of removed ones."""
    for removed in params.event.removed:
        key = document_key(removed.uri)
        if ls.session.folders.pop(key, None) and ls.host.is_started:
            ls.spawn(announce_after(ls, ls.session.repositories.release(_holder(key))))
    for added in params.event.added:
        key, folder = document_key(added.uri), path_of(added.uri)
        if folder is not None and key not in ls.session.folders:
            ls.session.folders[key] = folder
            if ls.host.is_started:
                held = ls.session.repositories.hold(_holder(key), folder)
                ls.spawn(announce_after(ls, held))


def shutdown(ls: Code2LoraServer, _params: None = None) -> None:
    """Answered at once; the engine closes after ``exit``."""
    ls.session.was_shut_down = True
    ls.session.pending.drop_all(Reason.CANCELLED, "the server is shutting down")


def _holder(key: str) -> str:
    return f"folder {key}"
