"""The main job, seen from an editor: a completion, a commit, and the completion after it.

A language client of one file, on the standard library alone. It clones a repository into a scratch
folder (yours is never touched), starts ``code2lora-lsp`` over stdio, waits for the adapter of HEAD,
asks for a completion, commits a change, waits for the adapter of that commit, and asks again.

Usage: python editors/demo.py [REPOSITORY [SERVER OPTIONS…]]
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import Any

CURSOR = "▏"
HELPER = '''"""What the demo commits: a helper the repository did not have before."""


def freshness_line(adapter_commit, commits_behind):
    """One line about how fresh the adapter is."""
    if commits_behind == 0:
        return f"adapter @ {adapter_commit[:7]}"
    return f"adapter @ {adapter_commit[:7]}, {commits_behind} behind"


def drift_line(adapter_commit, drift):
    """One line about how far the adapter moved."""
    return f"adapter @ {adapter_commit[:7]} moved by {drift:.4f}"
'''
MODULE = "status_summary"
BUFFER = f"""from {MODULE} import {CURSOR}


def show(adapter_commit, commits_behind):
    print(adapter_commit, commits_behind)
"""


class Server:
    """``code2lora-lsp`` over stdio; requests are answered in order by a reader thread.

    It runs in this project's folder: ``-m`` imports from where it runs, never from the repository
    shown.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-m", "code2lora_lsp", *sys.argv[2:]]
        project = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            command, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._answers: dict[int, Queue[dict[str, Any]]] = {}
        self._number = 0
        threading.Thread(target=self._read, daemon=True).start()

    def request(self, method: str, params: object, timeout_s: float = 120.0) -> Any:
        """Send one request and wait for its answer."""
        self._number += 1
        answers = self._answers.setdefault(self._number, Queue())
        self._send({"id": self._number, "method": method, "params": params})
        try:
            answer = answers.get(timeout=timeout_s)
        except Empty:
            raise SystemExit(f"the server did not answer {method} within {timeout_s} s") from None
        if "error" in answer:
            raise SystemExit(f"the server answered {method} with: {answer['error']['message']}")
        return answer["result"]

    def notify(self, method: str, params: object) -> None:
        """Send one notification."""
        self._send({"method": method, "params": params})

    def stop(self) -> None:
        """Shut the server down as an editor does; end it if it does not listen."""
        try:
            self.request("shutdown", None, timeout_s=10)
            self.notify("exit", None)
            self._process.wait(timeout=10)
        finally:
            self._process.kill()

    def _send(self, message: dict[str, object]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            if not header.lower().startswith(b"content-length:"):
                continue
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            message = json.loads(stream.read(length))
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": None})
            elif message.get("id") in self._answers:
                self._answers[message["id"]].put(message)


def main() -> None:
    """Run the demo on the repository named on the command line, or on this project's own."""
    source = find_repository(Path(sys.argv[1] if len(sys.argv) > 1 else ".").expanduser())
    with tempfile.TemporaryDirectory(prefix="code2lora-demo-") as scratch:
        folder = Path(scratch) / source.name
        git(None, "clone", "--quiet", "--no-hardlinks", str(source), str(folder))
        os.environ.setdefault("XDG_CACHE_HOME", str(Path(scratch) / "cache"))
        run(folder)
    command = Path(sys.executable).with_name("code2lora-lsp")
    if command.is_file():
        say(f"what your editor starts: {command}")


def find_repository(folder: Path) -> Path:
    """The root of the work tree that holds ``folder``, or a bare repository itself."""
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not a folder; name a git repository")
    try:
        is_bare = git(folder, "rev-parse", "--is-bare-repository") == "true"
        git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return (folder if is_bare else Path(git(folder, "rev-parse", "--show-toplevel"))).resolve()
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or "HEAD has no commit yet"
        raise SystemExit(f"{folder} is no git repository to show this on: {said}") from None


def run(folder: Path) -> None:
    """Both walks on one scratch clone."""
    n_commits = git(folder, "rev-list", "--count", "--first-parent", "HEAD")
    say(f"scratch clone of {folder.name}: {n_commits} first-parent commits, HEAD {head(folder)}")
    server = Server()
    try:
        tell(server, folder)
    finally:
        server.stop()


def tell(server: Server, folder: Path) -> None:
    """The story: initialize, adapter, completion, commit, adapter, completion."""
    started_s = time.monotonic()
    server.request("initialize", initialize_params(folder))
    say(f"initialize answered after {time.monotonic() - started_s:.2f} s, no weight read yet")
    server.notify("initialized", {})
    status = wait_for(server, lambda repository: bool(repository["knowledgeId"]))
    say(f"first knowledge after {time.monotonic() - started_s:.1f} s: {describe(status)}")
    status = wait_for(server, follows(git(folder, "rev-parse", "HEAD")))
    say(f"knowledge of HEAD after {time.monotonic() - started_s:.1f} s: {describe(status)}")
    show_completion(server, folder, version=1)

    (folder / f"{MODULE}.py").write_text(HELPER, encoding="utf-8")
    git(folder, "add", f"{MODULE}.py")
    git(folder, "-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c",
        "commit.gpgsign=false", "commit", "--quiet", "-m", f"Add {MODULE}")  # fmt: skip
    committed_s = time.monotonic()
    say(f"committed {MODULE}.py: HEAD is now {head(folder)}")
    status = wait_for(server, follows(git(folder, "rev-parse", "HEAD")), may_wait=False)
    say(f"known after {time.monotonic() - committed_s:.2f} s: {describe(status)}")
    show_completion(server, folder, version=2)


def initialize_params(folder: Path) -> dict[str, object]:
    """What a client with inline completion announces."""
    return {
        "processId": os.getpid(),
        "rootUri": folder.as_uri(),
        "workspaceFolders": [{"uri": folder.as_uri(), "name": folder.name}],
        "capabilities": {"textDocument": {"inlineCompletion": {}}},
    }


def follows(commit_id: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a repository's adapter is the one of ``commit_id``."""
    return lambda repository: (repository["head"], repository["state"]) == (commit_id, "current")


def wait_for(
    server: Server,
    is_there: Callable[[dict[str, Any]], bool],
    *,
    may_wait: bool = True,
    timeout_s: float = 600.0,
) -> dict[str, Any]:
    """Poll ``code2lora/status`` until ``is_there``, or until nothing more is to be expected.

    With ``may_wait`` that is also a repository without a commit to make an adapter of.
    """
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        status = server.request("code2lora/status", {})
        for repository in status["repositories"]:
            is_settled = repository["state"] == "failed" or (may_wait and waits(repository))
            if is_there(repository) or is_settled:
                return dict(status, repository=repository)
        if status["engine"]["detail"]:
            raise SystemExit(f"the models could not be loaded: {status['engine']['detail']}")
        time.sleep(0.02)
    raise SystemExit(f"no adapter within {timeout_s} s: {status}")


def waits(repository: dict[str, Any]) -> bool:
    """Whether the server waits for a commit, and no longer for its models."""
    detail = repository["detail"]
    return repository["state"] == "waiting" and detail not in {"", "the models are not loaded"}


def show_completion(server: Server, folder: Path, version: int) -> None:
    """Open a buffer with a cursor, ask, and print it with the proposal in colour."""
    before, after = BUFFER.split(CURSOR)
    uri = (folder / "use_status.py").as_uri()
    item = {"uri": uri, "languageId": "python", "version": version, "text": before + after}
    server.notify("textDocument/didOpen", {"textDocument": item})
    line = before.count("\n")
    position = {"line": line, "character": len(before) - before.rfind("\n") - 1}
    asked_s = time.monotonic()
    params = {
        "textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 1},
    }  # fmt: skip
    items = server.request("textDocument/inlineCompletion", params)["items"]
    took_ms = (time.monotonic() - asked_s) * 1000
    say(f"completion after {took_ms:.0f} ms:")
    text = items[0]["insertText"] if items else ""
    shown = before + colour(text or "(nothing offered)") + after
    print("\n".join("    " + row for row in shown.splitlines()), flush=True)
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def describe(status: dict[str, Any]) -> str:
    """The repository's line of the status, for people."""
    repository = status["repository"]
    if repository["state"] == "failed" or waits(repository):
        return f"none, {repository['state']}: {repository['detail']}"
    behind = repository["commitsBehind"]
    drift = repository["drift"]
    known = f"adapter {repository['adapterId']}" if repository["adapterId"] else "names, no adapter"
    moved = "" if drift is None else f", moved by {drift:.2e}"
    return (
        f"{known} @ {repository['adapterCommit'][:7]}"
        f"{f', {behind} commits behind' if behind else ''}{moved} "
        f"({status['engine']['backbone']} on {status['engine']['device']})"
    )


def git(folder: Path | None, *arguments: str) -> str:
    """Run git and return what it printed."""
    where = ["-C", str(folder)] if folder else []
    done = subprocess.run(["git", *where, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def head(folder: Path) -> str:
    """Short id of HEAD."""
    return git(folder, "rev-parse", "--short", "HEAD")


def colour(text: str) -> str:
    """Ghost text, where the terminal can show it."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return f"⟦{text}⟧" if plain else f"\x1b[7m{text}\x1b[0m"


def say(text: str) -> None:
    """One line of the story."""
    print(f"· {text}", flush=True)


if __name__ == "__main__":
    main()
