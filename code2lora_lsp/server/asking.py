"""One question at one cursor, from LSP parameters to an edit; shared by both request kinds."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import cast

from lsprotocol import types

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.runtime.api import (
    Completion,
    CompletionRequest,
    CompletionResult,
    NoCompletion,
    Reason,
    Trigger,
)
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.pending import PendingQuestion, answered
from code2lora_lsp.server.session import OpenDocument, document_key
from code2lora_lsp.server.status import announce, look_at

log = logging.getLogger(__name__)

_NO_NEWS = (Reason.SUPERSEDED, Reason.CANCELLED)


@dataclass(frozen=True)
class Question:
    """Where and how the client asks.

    Attributes:
        selected: the item highlighted in the completion menu, which the answer must extend.
    """

    identifier: types.VersionedTextDocumentIdentifier
    position: types.Position
    trigger: Trigger = Trigger.AUTOMATIC
    selected: types.SelectedCompletionInfo | None = None


@dataclass(frozen=True)
class Proposal:
    """``text`` to put in place of ``start``–``end`` (code points) of ``document``; one line.

    Attributes:
        alternatives: other texts for the same place.
    """

    document: OpenDocument
    text: str
    start: int
    end: int
    alternatives: tuple[str, ...] = ()

    @property
    def range(self) -> types.Range:
        return self.document.lines.range_of(self.start, self.end)


def stamped(identifier: types.TextDocumentIdentifier) -> types.VersionedTextDocumentIdentifier:
    """The identifier with the version ``Wire`` put in when the request arrived."""
    return cast("types.VersionedTextDocumentIdentifier", identifier)


async def ask(ls: Code2LoraServer, question: Question, asker: str) -> Proposal | None:
    """The backend's proposal, if it is still one for the version asked about.

    Two methods that ask the same, each under its name ``asker``, share one answer. Why there is
    none is kept in ``session.last_empty`` and ``session.reason``.
    """
    session, started_s = ls.session, time.perf_counter()
    session.counts.asked += 1
    document = session.document(question.identifier.uri)
    result = await _result(ls, question, document, asker)
    if document is not None and isinstance(result, Completion):
        result = _checked(document, question, result)
    if document is None or isinstance(result, NoCompletion):
        session.last_empty = result if isinstance(result, NoCompletion) else None
        if isinstance(result, NoCompletion) and result.reason not in _NO_NEWS:
            session.reason = result
            announce(ls)
        log.debug("nothing offered in %s: %s", question.identifier.uri, result)
        return None
    session.counts.offered += 1
    session.reason = None
    announce(ls)
    ls.metrics.latencies.add(time.perf_counter() - started_s, result.timings)
    return Proposal(document, result.text, result.start, result.end, result.alternatives)


async def _result(
    ls: Code2LoraServer, question: Question, document: OpenDocument | None, asker: str
) -> CompletionResult:
    if document is None:
        return NoCompletion(Reason.EMPTY, f"{question.identifier.uri} is not open")
    key, waiting = document_key(document.uri), ls.session.pending
    look_at(ls, document.uri)
    if refusal := why_not(ls, question, document):
        return refusal
    pending = waiting.equal(key, question)
    if pending is None:
        pending = waiting.supersede(key, question)
        pending.begin(answer(ls, question, document, pending))
    try:
        return await pending.outcome(asker)
    except Exception:
        log.exception("the engine failed to answer")
        ls.tell_once("code2lora: the engine failed to answer; see the server's log.", is_error=True)
        return NoCompletion(Reason.BROKEN, "see the server's log")
    finally:
        waiting.finish(key, pending)


def why_not(ls: Code2LoraServer, question: Question, document: OpenDocument) -> NoCompletion | None:
    """Why the backend need not be asked at all."""
    if question.identifier.version != document.version:
        return _stale(question, document)
    if off := ls.session.why_off(document):
        return off
    n_chars, limit = len(document.snapshot().text), ls.session.settings.completion
    if n_chars > limit.max_document_chars:
        return NoCompletion(Reason.TOO_LARGE, f"{n_chars} characters")
    if ls.host.backend is None:
        reason = Reason.FAILED if ls.host.failure else Reason.NOT_READY
        return NoCompletion(reason, ls.host.failure or "")
    return None


def _stale(question: Question, document: OpenDocument) -> NoCompletion:
    detail = f"asked for version {question.identifier.version}, now it is {document.version}"
    return NoCompletion(Reason.SUPERSEDED, detail)


async def answer(
    ls: Code2LoraServer,
    question: Question,
    document: OpenDocument,
    pending: PendingQuestion,
    *,
    is_plain: bool = False,
) -> CompletionResult:
    """The backend's answer; if ``is_plain`` without what is known of the repository.

    Before its repository is found it is unknown whether the document is excluded.
    """
    left_s = await _until_held(document, ls.session.settings.completion.deadline_s)
    backend = ls.host.backend
    if backend is None or pending.cancellation.is_cancelled:
        return NoCompletion(Reason.NOT_READY if backend is None else Reason.CANCELLED)
    if left_s <= 0:
        return NoCompletion(Reason.TIMED_OUT, "while the document's repository was looked for")
    request = _request(ls, question, document, pending.cancellation)
    request = replace(request, deadline_s=left_s)
    if is_plain:
        request = replace(request, repository=None)
    return await answered(backend.complete(request))


async def expect(ls: Code2LoraServer, question: Question, document: OpenDocument) -> None:
    """Tell the backend that ``question`` is likely to be asked.

    Unless by the time its repository is found the text changed, or the user looks elsewhere.
    """
    left_s = await _until_held(document, ls.session.settings.completion.deadline_s)
    in_use, backend = ls.session.document(ls.session.active or ""), ls.host.backend
    if left_s <= 0 or in_use is not document or backend is None:
        return
    if why_not(ls, question, document) is None:
        backend.expect(_request(ls, question, document, Cancellation()))


async def _until_held(document: OpenDocument, seconds: float) -> float:
    """Wait until the document's repository is followed; what is left of the time."""
    if document.held is None or document.held.done():
        return seconds
    started_s = time.perf_counter()
    await asyncio.wait({document.held}, timeout=seconds)
    return seconds - (time.perf_counter() - started_s)


def _request(
    ls: Code2LoraServer, question: Question, document: OpenDocument, cancellation: Cancellation
) -> CompletionRequest:
    """The question in the backend's words."""
    offset = document.lines.offset_at(question.position)
    root = ls.session.root_for(document)
    inside = document.path.relative_to(root) if document.path and root else None
    text, start, end = _selected(question, document, offset)
    return CompletionRequest(
        document=document.snapshot(),
        offset=offset,
        trigger=question.trigger,
        repository=root,
        path=inside.as_posix() if inside else None,
        selected_text=text,
        selected_start=start,
        selected_end=end,
        cancellation=cancellation,
    )


def _selected(
    question: Question, document: OpenDocument, offset: int
) -> tuple[str | None, int | None, int | None]:
    """The highlighted menu item and what it replaces, if the cursor stands in that."""
    if question.selected is None:
        return None, None, None
    where = question.selected.range
    start, end = document.lines.offset_at(where.start), document.lines.offset_at(where.end)
    return (question.selected.text, start, end) if start <= offset <= end else (None, None, None)


def _checked(document: OpenDocument, question: Question, found: Completion) -> CompletionResult:
    """``found``, if it still fits: same version, not empty, and replacing part of one line."""
    if question.identifier.version != document.version:
        return _stale(question, document)
    text = document.snapshot().text
    replaced = text[found.start : found.end]
    if not 0 <= found.start <= found.end <= len(text) or "\n" in replaced or "\r" in replaced:
        log.error("the engine proposed to replace %d to %d, not one line", found.start, found.end)
        return NoCompletion(Reason.FILTERED, "it would have replaced more than one line")
    if found.text == replaced:
        return NoCompletion(Reason.EMPTY, "it would have changed nothing")
    return found
