"""What a user waits for, on one repository: start, first adapter, commit, completion.

Usage: python benchmarks/product.py REPOSITORY [--commits 20] [--completions 40]

Works in a scratch clone with a cache of its own. Prints one JSON line per figure; seconds. The last
rows replay the newest commits of the repository one by one, each followed by its adapter.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.client import LspClient

SERVER = [sys.executable, "-m", "code2lora_lsp"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--completions", type=int, default=40)
    parser.add_argument("--set", action="append", default=[], help="passed on to the server")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="code2lora-bench-") as scratch:
        clone = Path(scratch) / "clone"
        git(None, "clone", "--quiet", str(arguments.repository.resolve()), str(clone))
        measure(clone, Path(scratch) / "states", arguments)


def measure(clone: Path, states: Path, arguments: argparse.Namespace) -> None:
    command = [*SERVER, *[part for one in arguments.set for part in ("--set", one)]]
    replayed = git(clone, "rev-list", "--first-parent", f"-{arguments.commits + 1}", "HEAD").split()
    report("first-parent commits", int(git(clone, "rev-list", "--first-parent", "--count", "HEAD")))
    git(clone, "reset", "--quiet", "--hard", replayed[-1])
    options = {"follow": {"stateDir": str(states)}}
    cold = session(command, clone, options, "cold")
    follow(cold, clone, replayed[-2::-1])
    complete(cold, clone, arguments.completions)
    cold.shut_down()
    warm = session(command, clone, options, "with stored states")
    warm.shut_down()


def session(command: list[str], clone: Path, options: object, name: str) -> LspClient:
    """Start a server and wait for the adapter of HEAD."""
    started_s = time.perf_counter()
    client = LspClient.start(command)
    client.initialize(folders=[clone], options=options)
    report(f"{name}: initialize answered", time.perf_counter() - started_s)
    head, has_any = git(clone, "rev-parse", "HEAD"), False
    while True:
        repositories = client.status()["repositories"]
        state = repositories[0] if repositories else {"state": None, "adapterCommit": None}
        if state["adapterCommit"] and not has_any:
            has_any = True
            report(f"{name}: first adapter", time.perf_counter() - started_s)
        if state["state"] == "failed":
            raise SystemExit(f"not followed: {state['detail']}")
        if state["state"] == "current" and state["head"] == head:
            break
        time.sleep(0.02)
    report(f"{name}: adapter of HEAD", time.perf_counter() - started_s)
    return client


def follow(client: LspClient, clone: Path, commits: list[str]) -> None:
    """Move HEAD forward one commit at a time, as a pull or a commit does."""
    took_s = []
    for commit_id in commits:
        git(clone, "reset", "--quiet", "--soft", commit_id)
        moved_s = time.perf_counter()
        while True:
            (state,) = client.status()["repositories"]
            if state["head"] == commit_id and state["state"] == "current":
                break
            time.sleep(0.002)
        took_s.append(time.perf_counter() - moved_s)
    git(clone, "reset", "--quiet", "--hard", commits[-1])
    report("commit to adapter, median", statistics.median(took_s))
    report("commit to adapter, longest", max(took_s))


def complete(client: LspClient, clone: Path, count: int) -> None:
    """Type through lines of the largest file, one request per character."""
    path = max(clone.rglob("*.py"), key=lambda path: path.stat().st_size)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    row = len(lines) // 2
    target = next(line for line in lines[row:] if len(line.strip()) > 20)
    text = "\n".join([*lines[:row], "", *lines[row + 1 :]])
    client.open(str(path), text)
    took_s, offered, typed = [], 0, ""
    for number in range(count):
        typed = target[: len(target) - len(target.lstrip()) + number % 20 + 1]
        client.edit(str(path), (row, 0), (row, 999), typed)
        asked_s = time.perf_counter()
        offered += bool(client.inline(str(path), row, len(typed)))
        took_s.append(time.perf_counter() - asked_s)
    report("completion, cold", took_s[0])
    report("completion while typing, median", statistics.median(took_s[1:]))
    report("completion while typing, 95th percentile", sorted(took_s[1:])[int(0.95 * count) - 1])
    report("requests offered something", offered / count)


def report(name: str, value: float) -> None:
    print(json.dumps({"figure": name, "value": round(value, 4)}), flush=True)


def git(folder: Path | None, *arguments: str) -> str:
    where = ["-C", str(folder)] if folder else []
    done = subprocess.run(["git", *where, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
