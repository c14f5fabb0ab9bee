"""A language client with verbs, for tests: it talks to a real server process or a TCP port.

    with LspClient.start([sys.executable, "-m", "code2lora_lsp"]) as client:
        client.initialize(folders=[repo])
        client.open("a.py", "def f():\\n    ")
        items = client.inline("a.py", line=1, character=4)

Blocking calls with a time limit; a reader thread sorts what comes in. Nothing here knows pygls:
the JSON on the wire is what is tested.
"""

import json
import os
import queue
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

TIMEOUT_S = 15.0
CANCELLED = -32800


class LspError(Exception):
    """The server answered a request with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]


class Reply:
    """The answers to one request: exactly one is right, all are kept."""

    def __init__(self, msg_id: int) -> None:
        self.id = msg_id
        self.answers: list[dict[str, Any]] = []
        self.arrived = threading.Event()
        self.took_s: float | None = None
        self._asked_s = time.monotonic()

    def arrive(self, message: dict[str, Any]) -> None:
        self.took_s = time.monotonic() - self._asked_s
        self.answers.append(message)
        self.arrived.set()

    def result(self, timeout_s: float = TIMEOUT_S) -> Any:
        if not self.arrived.wait(timeout_s):
            raise TimeoutError(f"request {self.id} got no answer within {timeout_s} s")
        answer = self.answers[0]
        if "error" in answer:
            raise LspError(answer["error"])
        return answer["result"]

    def error(self) -> LspError:
        try:
            result = self.result()
        except LspError as error:
            return error
        raise AssertionError(f"expected an error, got {result!r}")


class LspClient:
    """One connection. Documents are named by URI or by a bare name, and kept track of."""

    def __init__(self, reader: Any, writer: Any, process: Any) -> None:
        self.process = process
        self.notifications: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.configuration: Any = None
        self.answers_requests = True
        self.versions: dict[str, int] = {}
        self.stray: list[dict[str, Any]] = []
        self._reader, self._writer = reader, writer
        self._replies: dict[int, Reply] = {}
        self._changed = threading.Condition()
        self._next_id = 0
        self._writing = threading.Lock()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._write, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def start(cls, command: list[str], **options: Any) -> "LspClient":
        """Start a server over stdio. Its stderr goes to ``options["stderr"]``, or to ours."""
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **options
        )
        return cls(process.stdout, process.stdin, process)

    @classmethod
    def connect(cls, host: str, port: int) -> "LspClient":
        connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
        connection.settimeout(None)
        client = cls(connection.makefile("rb", buffering=0), connection.makefile("wb", 0), None)
        connection.close()  # the two files keep it open
        return client

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # verbs

    def initialize(
        self,
        capabilities: dict[str, Any] | None = None,
        folders: list[Path] | None = None,
        options: Any = None,
        **extra: Any,
    ) -> dict[str, Any]:
        """The whole handshake; returns the server's capabilities."""
        params = {
            "processId": os.getpid(),
            "rootUri": None,
            "capabilities": INLINE if capabilities is None else capabilities,
            "workspaceFolders": [folder_json(folder) for folder in folders or []] or None,
            "initializationOptions": options,
            **extra,
        }
        result = self.request("initialize", params).result()
        self.notify("initialized", {})
        return result["capabilities"]

    def open(self, name: str, text: str, language: str = "python", version: int = 1) -> None:
        self.versions[uri_of(name)] = version
        item = {"uri": uri_of(name), "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def edit(self, name: str, start: tuple[int, int], end: tuple[int, int], text: str) -> int:
        """Replace one range; returns the new version."""
        where = {"start": position(*start), "end": position(*end)}
        return self.change(name, {"range": where, "text": text})

    def save(self, name: str) -> None:
        self.notify("textDocument/didSave", {"textDocument": {"uri": uri_of(name)}})

    def change(self, name: str, *changes: dict[str, Any]) -> int:
        uri = uri_of(name)
        self.versions[uri] = self.versions.get(uri, 0) + 1
        identifier = {"uri": uri, "version": self.versions[uri]}
        params = {"textDocument": identifier, "contentChanges": list(changes)}
        self.notify("textDocument/didChange", params)
        return self.versions[uri]

    def close_document(self, name: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri_of(name)}})

    def ask_inline(
        self,
        name: str,
        line: int,
        character: int,
        *,
        version: int | None = None,
        invoked: bool = False,
        selected: dict[str, Any] | None = None,
        **extra: Any,
    ) -> Reply:
        identifier: dict[str, Any] = {"uri": uri_of(name)}
        if version is not None:
            identifier["version"] = version
        context: dict[str, Any] = {"triggerKind": 1 if invoked else 2}
        if selected:
            context["selectedCompletionInfo"] = selected
        where = position(line, character)
        params = {"textDocument": identifier, "position": where, "context": context, **extra}
        return self.request("textDocument/inlineCompletion", params)

    def inline(self, name: str, line: int, character: int, **kind: Any) -> list[dict[str, Any]]:
        return self.ask_inline(name, line, character, **kind).result()["items"]

    def complete(self, name: str, line: int, character: int) -> dict[str, Any]:
        identifier = {"uri": uri_of(name)}
        params = {"textDocument": identifier, "position": position(line, character)}
        return self.request("textDocument/completion", params).result()

    def execute(self, command: str, *arguments: Any) -> Reply:
        params: dict[str, Any] = {"command": command}
        if arguments:
            params["arguments"] = list(arguments)
        return self.request("workspace/executeCommand", params)

    def status(self) -> dict[str, Any]:
        return self.request("code2lora/status", {}).result()

    def cancel(self, reply: Reply) -> None:
        self.notify("$/cancelRequest", {"id": reply.id})

    def shut_down(self) -> int:
        """shutdown, exit, and the exit code of the process."""
        self.request("shutdown", None).result()
        self.notify("exit", None)
        assert self.process is not None
        return self.process.wait(TIMEOUT_S)

    # what the server sends by itself

    def messages(self, method: str) -> list[Any]:
        """Params of the notifications of that method so far."""
        with self._changed:
            return [m.get("params") for m in self.notifications if m["method"] == method]

    def asked(self, method: str) -> list[Any]:
        """Params of the requests the server has sent so far."""
        with self._changed:
            return [m.get("params") for m in self.requests if m["method"] == method]

    def wait_until(self, condition: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """The first true value of ``condition()``; looked at after each incoming message."""
        deadline_s = time.monotonic() + timeout_s
        while not (value := condition()):
            with self._changed:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"nothing like that within {timeout_s} s")
                self._changed.wait(0.05)
        return value

    @property
    def is_hung_up(self) -> bool:
        """Whether the server closed the connection."""
        return not self._threads[0].is_alive()

    # plumbing

    def request(self, method: str, params: Any) -> Reply:
        self._next_id += 1
        reply = self._replies[self._next_id] = Reply(self._next_id)
        self.send({"id": reply.id, "method": method, "params": params})
        return reply

    def request_then_notify(self, request: tuple[str, Any], note: tuple[str, Any]) -> Reply:
        """Both in one write, so that the server reads them at once."""
        self._next_id += 1
        reply = self._replies[self._next_id] = Reply(self._next_id)
        first = {"jsonrpc": "2.0", "id": reply.id, "method": request[0], "params": request[1]}
        second = {"jsonrpc": "2.0", "method": note[0], "params": note[1]}
        self._outbox.put(b"".join(_framed(json.dumps(each).encode()) for each in (first, second)))
        return reply

    def notify(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def send(self, message: dict[str, Any]) -> None:
        body = {k: v for k, v in message.items() if k != "params" or v is not None}
        self.send_raw(json.dumps({"jsonrpc": "2.0", **body}, ensure_ascii=False).encode())

    def send_raw(self, body: bytes) -> None:
        self._outbox.put(_framed(body))

    def close(self) -> None:
        """Hang up; a process that is still there a moment later is killed."""
        self._outbox.put(None)
        self._threads[1].join(TIMEOUT_S)
        if self.process is not None:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._threads[0].join(TIMEOUT_S)
        self._reader.close()

    def _write(self) -> None:
        with suppress(OSError):  # the server is gone
            while (data := self._outbox.get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[self._writer.write(view) :]
        with suppress(OSError):
            self._writer.close()

    def _read(self) -> None:
        while (body := self._read_body()) is not None:
            self._sort(json.loads(body))
            with self._changed:
                self._changed.notify_all()

    def _read_body(self) -> bytes | None:
        size = 0
        while line := self._read_line():
            if line == b"\r\n":
                return self._read_exactly(size)
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        return None

    def _read_line(self) -> bytes:
        try:
            return bytes(self._reader.readline())
        except (OSError, ValueError):
            return b""

    def _read_exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = self._reader.read(size - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _sort(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            reply = self._replies.get(message.get("id"))
            return reply.arrive(message) if reply else self.stray.append(message)
        with self._changed:
            (self.requests if "id" in message else self.notifications).append(message)
        if "id" in message and self.answers_requests:
            self.send({"id": message["id"], "result": self._answer(message)})
        return None

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] == "workspace/configuration":
            return [self.configuration for _ in message["params"]["items"]]
        return None


def _framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


INLINE: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}
INLINE_DYNAMIC: dict[str, Any] = {
    "textDocument": {"inlineCompletion": {"dynamicRegistration": True}}
}


def position(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


def uri_of(name: str) -> str:
    return name if ":" in name else f"untitled:{name}"


def folder_json(folder: Path) -> dict[str, str]:
    return {"uri": folder.as_uri(), "name": folder.name}
