"""Clients of the fake server; every one of them checks that the server logged no traceback."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.client import LspClient
from tests.e2e.fork_server import ROOT, ForkedServer

COMMAND = [sys.executable, "-m", "tests.e2e.fake_server"]


class FakeClient(LspClient):
    """An ``LspClient`` that can look inside the fake server."""

    log_path: Path

    def inside(self) -> dict[str, Any]:
        return self.request("fake/inside", {}).result()

    def emit(self, event: str, **values: Any) -> None:
        self.request("fake/emit", {"event": event, **values}).result()

    def wait_ready(self) -> "FakeClient":
        self.wait_until(lambda: self.status()["engine"]["state"] == "ready")
        return self

    def log(self) -> str:
        return self.log_path.read_text()


@contextmanager
def fake_client(
    *, may_fail: bool = False, fresh: bool = False, **script: Any
) -> Iterator[FakeClient]:
    """A running fake server, not initialized yet.

    ``may_fail`` allows tracebacks in its log; ``fresh`` starts an interpreter just for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "stderr"
        script = {"state_dir": folder, **script}
        with log_path.open("wb") as log:
            if fresh or sys.platform == "win32":
                command = [*COMMAND, json.dumps(script)]
                client = FakeClient.start(command, cwd=ROOT, stderr=log)
            else:
                server = ForkedServer(script, log)
                client = FakeClient(server.stdout, server.stdin, server)
        client.log_path = log_path
        with client:
            yield client
        assert may_fail or "Traceback" not in client.log(), client.log()
        assert client.stray == []


def plan(text: str = "pass", **more: Any) -> str:
    """The line of a document that tells the fake backend what to answer."""
    return f"# fake: {json.dumps({'text': text, **more}, ensure_ascii=False)}\n"
