"""What is open, in which version; and whose repository it needs."""

import logging

from lsprotocol import types

from code2lora_lsp.runtime.api import Reason
from code2lora_lsp.server.asking import Question, expect
from code2lora_lsp.server.convert import position_of
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.session import OpenDocument, document_key, path_of
from code2lora_lsp.server.status import announce_after, look_at

log = logging.getLogger(__name__)


def did_open(ls: Code2LoraServer, params: types.DidOpenTextDocumentParams) -> None:
    key = document_key(params.text_document.uri)
    document = OpenDocument(params.text_document, ls.session.encoding)
    ls.session.pending.drop(key, Reason.SUPERSEDED, "the document was opened again")
    ls.session.documents[key] = document
    look_at(ls, document.uri)
    hold_repository(ls, document)


def hold_repository(ls: Code2LoraServer, document: OpenDocument) -> None:
    """Follow a document's repository as long as it is open; the first requests wait for that."""
    if document.path is None or not ls.session.language_on(document.language_id):
        return
    if ls.host.is_started:
        holder, repositories = _holder(document.uri), ls.session.repositories
        held = ls.spawn(announce_after(ls, repositories.hold_document(holder, document.path)))
        if document.held is None or not repositories.holds(holder):
            document.held = held


def hold_repositories(ls: Code2LoraServer) -> None:
    """Look again for those of all open documents: more languages may be on than before."""
    for document in ls.session.documents.values():
        hold_repository(ls, document)


def did_change(ls: Code2LoraServer, params: types.DidChangeTextDocumentParams) -> None:
    key = document_key(params.text_document.uri)
    document = ls.session.documents.get(key)
    if document is None:
        log.warning("a change to %s, which is not open, was ignored", params.text_document.uri)
        return
    watcher = ls.metrics.watcher(document)
    document.apply(params.text_document.version, list(params.content_changes), watcher)
    ls.session.pending.drop(key, Reason.SUPERSEDED, "the document changed")
    look_at(ls, document.uri)


def did_save(ls: Code2LoraServer, params: types.DidSaveTextDocumentParams) -> None:
    """What is on disk now becomes known, if a followed repository tracks the file.

    The file may be the first in its folder, or its repository younger than the document.
    """
    if document := ls.session.document(params.text_document.uri):
        hold_repository(ls, document)
    path = path_of(params.text_document.uri)
    if path is not None and ls.host.is_started:
        ls.host.call(lambda backend: backend.saved(path))


def did_close(ls: Code2LoraServer, params: types.DidCloseTextDocumentParams) -> None:
    key = document_key(params.text_document.uri)
    ls.session.pending.drop(key, Reason.SUPERSEDED, "the document was closed")
    document = ls.session.documents.pop(key, None)
    if document is not None:
        ls.metrics.closed(document)
    if document_key(ls.session.active or "") == key:
        look_at(ls, None)
    if ls.host.is_started:
        released = ls.session.repositories.release(_holder(params.text_document.uri))
        ls.spawn(announce_after(ls, released))


def did_focus(ls: Code2LoraServer, params: object) -> None:
    """Copilot's notification: the user looks at this document now, which need not be open.

    An output panel and its like are looked at beside one; they are in no file and not open. Ours
    may say where the cursor rests, too.
    """
    told = params if isinstance(params, dict) else {}
    identifier = told.get("textDocument")
    uri = identifier.get("uri") if isinstance(identifier, dict) else None
    if not isinstance(uri, str):
        return
    document, position = ls.session.document(uri), position_of(told.get("position"))
    if document or path_of(uri):
        look_at(ls, uri)
    if document and position:
        stamp = types.VersionedTextDocumentIdentifier(document.version, document.uri)
        ls.spawn(expect(ls, Question(stamp, position), document))


def did_show(ls: Code2LoraServer, _params: object) -> None:
    """Copilot's notification: an item was shown. Counted for the status, kept nowhere."""
    ls.session.counts.shown += 1


def did_accept_part(ls: Code2LoraServer, _params: object) -> None:
    """Copilot's notification: a part was accepted. The text itself arrives as a change."""
    ls.session.counts.partially_accepted += 1


def _holder(uri: str) -> str:
    return f"document {document_key(uri)}"
