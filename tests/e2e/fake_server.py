"""The real server around a scripted backend; run as a process by the protocol tests.

What the backend answers stands in the document itself: a line ``# fake: {…}`` with
``text``, ``start``, ``end`` (relative to the cursor), ``delay_s``, ``reason`` or ``raises``.
Options come as one JSON argument; see ``Script``. Methods under ``fake/`` look inside.
"""

import json
import logging
import re
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from code2lora_lsp.config import FollowSettings, Settings
from code2lora_lsp.errors import FollowError, ModelMissing
from code2lora_lsp.runtime import api
from code2lora_lsp.server.server import create_server, run_stdio, run_tcp

log = logging.getLogger("fake")


@dataclass(frozen=True)
class Script:
    """How the backend behaves.

    Attributes:
        make_s: seconds the factory takes, as importing torch would.
        open_s: seconds a repository takes to be found.
        ready: load by itself; otherwise ``fake/emit`` has to say so.
        fail: message of the factory's error.
        tcp: listen on a free loopback port and print it on stderr.
        state_dir: where counts and records are kept.
    """

    make_s: float = 0.0
    open_s: float = 0.0
    ready: bool = True
    fail: str = ""
    tcp: bool = False
    state_dir: str = ""


class FakeBackend:
    """Answers from the document; remembers what it was asked."""

    def __init__(self, script: Script, settings: Settings, listener: api.Listener) -> None:
        self.script, self.listener = script, listener
        self.calls: list[list[Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.expected: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.alive = 0
        self._status = api.BackendStatus(api.EngineState.LOADING, backbone=settings.model.backbone)

    def start(self) -> None:
        self.calls.append(["start"])
        if self.script.ready:
            self.set_status(engine=api.EngineState.READY)

    def complete(self, request: api.CompletionRequest) -> "Future[api.CompletionResult]":
        answer: Future[api.CompletionResult] = Future()
        self.requests.append(request_json(request))
        found = re.search(r"# fake: (\{.*\})", request.document.text)
        plan = json.loads(found.group(1)) if found else {}
        if "raises" in plan:
            raise ValueError(plan["raises"])
        if "delay_s" not in plan:
            answer.set_result(result_of(plan, request))
        else:
            work = threading.Thread(target=self._work, args=(plan, request, answer), daemon=True)
            work.start()
        return answer

    def expect(self, request: api.CompletionRequest) -> None:
        self.expected.append(request_json(request))

    def _work(self, plan: dict[str, Any], request: api.CompletionRequest, answer: Any) -> None:
        """Decode for a while; stop at a cancellation unless the plan is ``deaf``."""
        self.alive += 1
        until_s = time.monotonic() + plan["delay_s"]
        while time.monotonic() < until_s:
            if request.cancellation.is_cancelled and not plan.get("deaf"):
                break
            time.sleep(0.002)
        if request.cancellation.is_cancelled:
            self.cancelled.append(request.cancellation.reason)
        self.alive -= 1
        answer.set_result(result_of(plan, request))

    def open_repository(self, folder: Path) -> Path | None:
        self.calls.append(["open", str(folder)])
        time.sleep(self.script.open_s)
        root = next((f for f in [folder, *folder.parents] if (f / ".git").exists()), None)
        if root is not None:
            known = [r for r in self._status.repositories if r.root != str(root)]
            status = api.RepositoryStatus(
                str(root), api.FollowState.CURRENT, adapter_id="ada97e4", memory_id="3e30a1",
                adapter_commit="a1b2c3d4", commits_behind=0,
            )  # fmt: skip
            self.set_status(repositories=(*known, status))
        return root

    def close_repository(self, root: Path) -> None:
        self.calls.append(["close", str(root)])

    def refresh(self, root: Path) -> None:
        self.calls.append(["refresh", str(root)])

    def saved(self, path: Path) -> None:
        self.calls.append(["saved", str(path)])

    def roll_back(self, root: Path) -> str | None:
        self.calls.append(["roll_back", str(root)])
        return None if "first" in root.name else "0ldc0de"

    def export_adapter(self, root: Path, folder: Path, rank: int) -> api.Exported:
        self.calls.append(["export", str(root), str(folder), rank])
        if "first" in root.name:
            raise FollowError(f"{root}: no adapter: the tree holds no Python to learn from")
        return api.Exported(str(folder), min(rank, 16), 0.98765)

    def unload(self) -> None:
        self.calls.append(["unload"])
        self.set_status(engine=api.EngineState.UNLOADED)

    def reconfigure(self, settings: Settings) -> None:
        self.calls.append(["reconfigure", settings.completion.max_tokens])
        if settings.model.backbone == "absent":
            raise ModelMissing("no model named 'absent'; put its folder into model.backbone")

    def status(self) -> api.BackendStatus:
        return self._status

    def close(self, timeout_s: float = 2.0) -> bool:
        log.info("backend closed")
        return True

    def set_status(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
        self.emit(api.StatusChanged(self._status))

    def emit(self, event: api.Event) -> None:
        thread = threading.Thread(target=self.listener, args=(event,), name="foreign")
        thread.start()
        thread.join()


def result_of(plan: dict[str, Any], request: api.CompletionRequest) -> api.CompletionResult:
    if reason := plan.get("reason"):
        return api.NoCompletion(api.Reason[reason], plan.get("detail", ""))
    start = request.offset + plan.get("start", 0)
    end = request.offset + plan.get("end", 0)
    text = plan.get("text", "pass")
    if request.repository is not None:
        text = plan.get("with_repository", text)
    tokens = {name: plan[name] for name in ("prompt_tokens", "reused_tokens") if name in plan}
    timings, others = api.Timings(**tokens), tuple(plan.get("others", ()))
    return api.Completion(text, start, end, -0.1, None, None, timings, 0.5, others)


def request_json(request: api.CompletionRequest) -> dict[str, Any]:
    return {
        "uri": request.document.uri,
        "version": request.document.version,
        "before": request.document.text[: request.offset],
        "after": request.document.text[request.offset :],
        "trigger": request.trigger.value,
        "repository": str(request.repository) if request.repository else None,
        "path": request.path,
        "selectedText": request.selected_text,
        "selectedStart": request.selected_start,
        "selectedEnd": request.selected_end,
        "offset": request.offset,
    }


EVENTS = {
    "began": lambda p: api.ProgressBegan(p["token"], p["title"]),
    "moved": lambda p: api.ProgressMoved(p["token"], p["message"], p.get("percentage")),
    "ended": lambda p: api.ProgressEnded(p["token"], p["message"]),
    "history": lambda p: api.HistoryChanged(p["root"], p["commit"]),
    "incident": lambda p: api.Incident(p["message"], is_error=p["isError"]),
}


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    script = Script(**json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
    made: list[FakeBackend] = []

    def factory(settings: Settings, listener: api.Listener) -> FakeBackend:
        time.sleep(script.make_s)
        if script.fail and settings.model.backbone != "present":
            raise ModelMissing(script.fail)
        made.append(FakeBackend(script, settings, listener))
        return made[-1]

    settings = Settings(follow=FollowSettings(state_dir=script.state_dir))
    server = create_server(factory, settings, "0.0.0-fake")

    @server.feature("fake/inside")
    def inside(_params) -> dict[str, Any]:
        backend = made[-1] if made else None
        return {
            "torch": "torch" in sys.modules,
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "documents": len(server.session.documents),
            "pending": len(server.session.pending),
            "calls": backend.calls if backend else None,
            "requests": backend.requests[-300:] if backend else None,
            "expected": backend.expected if backend else None,
            "cancelled": backend.cancelled if backend else None,
            "alive": backend.alive if backend else None,
        }

    @server.feature("fake/emit")
    def emit(params) -> None:
        if params["event"] == "status":
            changes: dict[str, Any] = {"engine": api.EngineState(params["engine"])}
            made[-1].set_status(**changes)
        else:
            made[-1].emit(EVENTS[params["event"]](params))

    @server.feature("fake/print")
    def print_something(_params) -> None:
        print("a stray print", flush=True)  # noqa: T201 - what the test is about

    if script.tcp:
        return run_tcp(server, on_listening=tell_port)
    return run_stdio(server)


def tell_port(_host: str, port: int) -> None:
    sys.stderr.write(f"{port}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
