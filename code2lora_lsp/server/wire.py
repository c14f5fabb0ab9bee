"""pygls' protocol with the corners that break "every request gets exactly one answer" filed off.

Each override names the pygls 2.1 behaviour it replaces; ``tests/e2e/test_wire.py`` shows each.
"""

import json
import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)

from code2lora_lsp.server import protocol
from code2lora_lsp.server.session import path_of

if TYPE_CHECKING:
    from code2lora_lsp.server.language_server import Code2LoraServer

log = logging.getLogger(__name__)

_WITH_CURSOR = (types.TEXT_DOCUMENT_INLINE_COMPLETION, types.TEXT_DOCUMENT_COMPLETION)


class Refused(JsonRpcException):
    """A request we understood and will not do; the message says why and what would work."""

    CODE = types.LSPErrorCodes.RequestFailed
    MESSAGE = "Request failed"


def converter() -> Converter:
    """The converter of pygls, but our own methods' params stay plain JSON and may be absent."""
    plain: Converter = default_converter()
    for kind in (JsonRPCRequestMessage, JsonRPCNotification):
        plain.register_structure_hook(kind, _plain_message)
    plain.register_structure_hook(JsonRPCResponseMessage, _plain_response)
    return plain


def _plain_message(raw: dict[str, Any], kind: type) -> Any:
    fields = {"jsonrpc": raw["jsonrpc"], "method": raw["method"], "params": raw.get("params")}
    return kind(**fields, **({"id": raw["id"]} if "id" in raw else {}))


def _plain_response(raw: dict[str, Any], kind: type) -> Any:
    return kind(id=raw["id"], jsonrpc=raw["jsonrpc"], result=raw.get("result"))


class Wire(LanguageServerProtocol):
    """Between the bytes of one client and the handlers."""

    _server: "Code2LoraServer"

    def receive(self, body: bytes) -> None:
        """Handle one message body, in the order of arrival."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            log.warning("a message of %d bytes is not JSON: %s", len(body), error)
            self._send_error(None, JsonRpcParseError(f"the message is not JSON: {error}"))
            return
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION:
            problem = f"expected one JSON-RPC 2.0 object, got {str(data)[:80]!r}"
            self._send_error(None, JsonRpcInvalidRequest(problem))
            return
        self._receive_object(data)

    def _receive_object(self, data: dict[str, Any]) -> None:
        try:
            message = self.structure_message(data)
        except JsonRpcException as error:
            # pygls logs this and leaves the request without an answer
            self._answer_unreadable(data, error)
            return
        if refusal := self._refusal(data):
            self._send_error(data["id"], refusal)
        elif self._is_due(data):
            self._stamp_version(data, message)
            self.handle_message(message)

    def _answer_unreadable(self, data: dict[str, Any], error: JsonRpcException) -> None:
        method = data.get("method", "a response")
        detail = f"{method}: the message does not have the shape LSP gives it"
        log.warning("%s (%s)", detail, error.__cause__)
        if "id" in data and "method" in data:
            self._send_error(data["id"], type(error)(detail))

    def _refusal(self, data: dict[str, Any]) -> JsonRpcException | None:
        """Why a request is out of place: pygls runs early ones and never answers late ones."""
        if "id" not in data or "method" not in data:
            return None
        if self._server.session.was_shut_down:
            return JsonRpcInvalidRequest(f"{data['method']}: the server was shut down")
        if self._workspace is None and data["method"] != types.INITIALIZE:
            return JsonRpcServerNotInitialized(f"{data['method']}: initialize comes first")
        if self._workspace is not None and data["method"] == types.INITIALIZE:
            return JsonRpcInvalidRequest("initialize: it was already answered")
        return None

    def _is_due(self, data: dict[str, Any]) -> bool:
        """Notifications before initialize are dropped, except exit."""
        is_early = self._workspace is None and "id" not in data
        return not is_early or data.get("method") == types.EXIT

    def _stamp_version(self, data: dict[str, Any], message: Any) -> None:
        """Put the version the request is about into it.

        The standard names no version, and an async handler starts one turn of the loop later,
        when the next ``didChange`` may already be in. A version the client sends wins.
        """
        if data.get("method") == protocol.COMPARE:
            self._stamp_plain(data.get("params"))
        if data.get("method") not in _WITH_CURSOR:
            return
        uri = message.params.text_document.uri
        asked = self._version_of(uri, data["params"]["textDocument"].get("version"))
        message.params.text_document = types.VersionedTextDocumentIdentifier(asked, uri)

    def _stamp_plain(self, params: Any) -> None:
        """The same where params stay JSON; whether they are right their handler says."""
        identifier = params.get("textDocument") if isinstance(params, dict) else None
        if isinstance(identifier, dict) and isinstance(uri := identifier.get("uri"), str):
            identifier["version"] = self._version_of(uri, identifier.get("version"))

    def _version_of(self, uri: str, asked: object) -> int:
        document = self._server.session.document(uri)
        if isinstance(asked, int):
            return asked
        return document.version if document else 0

    def _send_error(self, msg_id: Any, error: JsonRpcException) -> None:
        if msg_id is not None:
            self._send_response(msg_id, error=error.to_response_error())
            return
        # the id is unknown and must be null; lsprotocol would leave it out
        body = {"code": int(error.code), "message": error.message}
        self._send_data({"jsonrpc": self.VERSION, "id": None, "error": body})

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """A root that is no place is none: pygls asks urllib about it and fails with it."""
        if params.root_uri is not None and path_of(params.root_uri) is None:
            params.root_uri = None
        return (yield from super().lsp_initialize(params))

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(
        self, params: types.DidOpenTextDocumentParams
    ) -> Generator[Any, Any, None]:
        """Documents live in our session: pygls' own split lines at form feeds and separators."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_OPEN], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(
        self, params: types.DidChangeTextDocumentParams
    ) -> Generator[Any, Any, None]:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(
        self, params: types.DidCloseTextDocumentParams
    ) -> Generator[Any, Any, None]:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CLOSE], (params,), None

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        """As in pygls, which changes its table of futures while walking it."""
        yield self.fm.features[types.SHUTDOWN], args, None
        for msg_id, future in list(self._request_futures.items()):
            if msg_id != self.msg_id and not future.done():
                future.cancel()

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> Generator[Any, Any, None]:  # noqa: ARG002 - pygls' signature
        """As in pygls, which raises SystemExit inside a callback and loses the exit code."""
        self._server.stop()
        yield from ()


class FaultsOnly(logging.Filter):
    """Keeps tracebacks out of pygls' log that are no faults of ours.

    A refusal is an answer; an unreadable message is the client's, and we log it in one line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, Refused) or "Unable to deserialize" in str(record.msg))
