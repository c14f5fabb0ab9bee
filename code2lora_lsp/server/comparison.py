"""``code2lora/compare``: one cursor completed with and without what is known of the repository."""

from lsprotocol import types

from code2lora_lsp.runtime.api import (
    Completion,
    CompletionResult,
    Trigger,
)
from code2lora_lsp.server import protocol
from code2lora_lsp.server.asking import Question, answer, why_not
from code2lora_lsp.server.language_server import Code2LoraServer
from code2lora_lsp.server.session import OpenDocument, document_key
from code2lora_lsp.server.status import backend_status
from code2lora_lsp.server.wire import Refused


async def compare(ls: Code2LoraServer, params: object) -> protocol.Json:
    """Both answers, one after the other, for the version ``Wire`` put in; a change takes them back.

    Raises:
        Refused: the document is not open, or the parameters have another shape.
    """
    document, version, position = _place(ls, params)
    identifier = types.VersionedTextDocumentIdentifier(version, document.uri)
    question = Question(identifier, position, Trigger.INVOKED)
    if refusal := why_not(ls, question, document):
        return _answer(refusal, refusal, None)
    key = document_key(document.uri)
    pending = ls.session.pending.supersede(key)
    try:
        pending.begin(answer(ls, question, document, pending, is_plain=True))
        without = await pending.outcome()
        pending.begin(answer(ls, question, document, pending))
        known = await pending.outcome()
    finally:
        ls.session.pending.finish(key, pending)
    return _answer(known, without, _commit(ls, document))


def _place(ls: Code2LoraServer, params: object) -> tuple[OpenDocument, int, types.Position]:
    try:
        assert isinstance(params, dict)
        identifier, where = params["textDocument"], params["position"]
        uri, version = str(identifier["uri"]), int(identifier["version"])
        position = types.Position(int(where["line"]), int(where["character"]))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"expected textDocument.uri and position with line and character, got {params!r}"
        ) from error
    document = ls.session.document(uri)
    if document is None:
        raise Refused(f"{uri} is not open; open it before comparing in it")
    return document, version, position


def _commit(ls: Code2LoraServer, document: OpenDocument) -> str | None:
    """The commit that what is known stands for."""
    root = str(ls.session.root_for(document))
    known = backend_status(ls).repositories
    return next((one.adapter_commit for one in known if one.root == root), None)


def _answer(
    known: CompletionResult, without: CompletionResult, commit: str | None
) -> protocol.Json:
    return {"withAdapter": _side(known), "without": _side(without), "adapterCommit": commit}


def _side(result: CompletionResult) -> protocol.Json:
    if isinstance(result, Completion):
        return {"text": result.text, "nats": round(-result.log_probability, 4), "reason": None}
    return {"text": "", "nats": None, "reason": protocol.empty_json(result)}
