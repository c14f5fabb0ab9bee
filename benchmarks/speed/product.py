"""The server itself: start-up, a typed session, what is accepted of it, memory, and its loop."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.arms import cpu_seconds, peak_megabytes
from benchmarks.speed.edits import Session, closers
from benchmarks.speed.figures import Figures
from tests.e2e.client import LspClient, Reply, position, uri_of

KEY_S = 0.1
FAST_KEY_S = 0.01
REST_S = 0.5
"""From where the cursor is put to the first key there."""

LEARN_S = 150.0
N_COMMITS = 8
LEAST_CHARS = 2
"""A suggestion shorter than this is not worth a key press."""


def measure_product(repository: Path, replayed: list[Session], figures: Figures) -> None:
    """Start the server on the repository, type the sessions, and say what each step took."""
    with tempfile.TemporaryDirectory(prefix="code2lora-speed-") as scratch:
        clone = Path(scratch) / "clone"
        _git("clone", "--quiet", str(repository.resolve()), str(clone))
        loop = Path(scratch) / "loop.json"
        environment = {**os.environ, "CODE2LORA_LOOP": str(loop)}
        script = str(Path(__file__).with_name("timed_server.py"))
        started_s = time.perf_counter()
        client = LspClient.start([sys.executable, script], env=environment)
        options = {"follow": {"stateDir": scratch}}
        client.initialize(folders=[clone], options=options)
        figures.product("initialize answered", time.perf_counter() - started_s, "s")
        Typist(client, replayed[0]).wait_for_a_suggestion()
        figures.product("first suggestion", time.perf_counter() - started_s, "s")
        _wait_until_learnt(client, figures)
        _type_all(client, replayed, figures)
        _type_first_keys(client, replayed, figures)
        _type_after_commits(client, clone, replayed[0], figures)
        fast_from_s = time.time()
        _type_fast(client, replayed[0], figures)
        fast_to_s = time.time()
        figures.product("resident memory, peak", peak_megabytes(client.process.pid), "MB")
        client.shut_down()
        if loop.exists():
            seen = json.loads(loop.read_text())
            _say_loop(seen, figures)
            n_fast = sum(fast_from_s <= at <= fast_to_s for at in seen["slow_at"])
            figures.product("handlers over 5 ms at 100 keys a second", n_fast, "")


def _wait_until_learnt(client: LspClient, figures: Figures, head: str | None = None) -> None:
    until_s = time.monotonic() + LEARN_S
    while time.monotonic() < until_s:
        repositories = client.status()["repositories"]
        state = repositories[0] if repositories else {"state": None, "head": None}
        if state["state"] == "current" and head in (None, state["head"]):
            return
        time.sleep(0.1)
    figures.remark(f"the repository was not followed to HEAD within {LEARN_S:.0f} s")


def _type_all(client: LspClient, replayed: list[Session], figures: Figures) -> None:
    cpu_before_s = cpu_seconds(client.process.pid)
    typists = [Typist(client, session) for session in replayed]
    for typist in typists:
        typist.type()
    cpu_s = cpu_seconds(client.process.pid) - cpu_before_s
    asked = [took for typist in typists for took in typist.asked_s]
    through = [took for typist in typists for took in typist.through_s]
    _spread("keystroke that asks the model", asked, figures)
    _spread("keystroke through what is shown", through, figures)
    accepted = sum(typist.n_accepted for typist in typists)
    figures.product("keys", len(asked) + len(through), "")
    figures.product("characters accepted", accepted, "")
    figures.product("CPU per key", cpu_s * 1e3 / max(1, len(asked) + len(through)), "ms")
    if accepted:
        figures.product("CPU per accepted character", cpu_s * 1e3 / accepted, "ms")


def _spread(name: str, taken_s: list[float], figures: Figures) -> None:
    if len(taken_s) < 2:
        figures.remark(f"{name}: {len(taken_s)} times, too few to say")
        return
    figures.product(f"{name}, median", statistics.median(taken_s) * 1e3, "ms")
    figures.product(f"{name}, 95th", sorted(taken_s)[int(0.95 * len(taken_s))] * 1e3, "ms")


def _type_first_keys(client: LspClient, replayed: list[Session], figures: Figures) -> None:
    """The first key in a document, in turns where the cursor's place was told and where not."""
    took_s: tuple[list[float], list[float]] = ([], [])
    for number, session in enumerate([*replayed, *replayed]):
        is_told = (number + number // len(replayed)) % 2
        typist = Typist(client, session)
        if is_told:
            typist.rest()
        time.sleep(REST_S)
        typist.put(session.states[0])
        reply = typist.ask(session.states[0])
        reply.result()
        took_s[is_told].append(reply.took_s or 0.0)
    for is_told, words in enumerate(("no one told", "as our clients tell")):
        _spread(f"first key in a document, its place {words}", took_s[is_told], figures)


def _type_after_commits(client: LspClient, clone: Path, session: Session, figures: Figures) -> None:
    """The same kind of key after a pause, in turns with and without a commit in the pause."""
    typist = Typist(client, session)
    without_s, after_s = list[float](), list[float]()
    for number, typed in enumerate(session.states[1 : 4 * N_COMMITS : 2]):
        typist.put(typed)
        typist.ask(typed).result()
        taken_s = after_s if number % 2 else without_s
        if taken_s is after_s:
            _commit(clone, number)
            _wait_until_learnt(client, figures, _git("-C", str(clone), "rev-parse", "HEAD"))
        time.sleep(1.0)  # a reader looks up
        typist.put(typed + "q")
        reply = typist.ask(typed + "q")
        reply.result()
        taken_s.append(reply.took_s or 0.0)
    _spread("keystroke after a pause", without_s, figures)
    _spread("keystroke after a pause with a commit in it", after_s, figures)


def _commit(clone: Path, number: int) -> None:
    (clone / f"written_{number}.py").write_text(
        f"def written_{number}(a):\n    return a + {number}\n"
    )
    _git("-C", str(clone), "add", ".")
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    _git("-C", str(clone), *author, "commit", "--quiet", "-m", f"Write {number}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _type_fast(client: LspClient, session: Session, figures: Figures) -> None:
    """A hundred keys a second, no answer awaited before the next key."""
    typist = Typist(client, session)
    replies, began_s = [], time.monotonic()
    for number in range(200):
        typed = "x" * number
        typist.put(typed)
        replies.append(typist.ask(typed))
        time.sleep(max(0.0, began_s + (number + 1) * FAST_KEY_S - time.monotonic()))
    for reply in replies:
        reply.result()
    slowest = max(reply.took_s or 0.0 for reply in replies)
    figures.product("slowest answer at 100 keys a second", slowest * 1e3, "ms")


def _say_loop(loop: dict[str, Any], figures: Figures) -> None:
    figures.product("handlers run on the event loop", loop["count"], "")
    figures.product("of them over 5 ms after the start", loop["slow"], "")
    figures.product("longest handler after the start", loop["longest_s"] * 1e3, "ms")
    figures.product("longest handler, CPU of the loop's thread", loop["longest_cpu_s"] * 1e3, "ms")


class Typist:
    """Types one session into a document of its own."""

    _n_documents = 0

    def __init__(self, client: LspClient, session: Session) -> None:
        Typist._n_documents += 1
        self._client, self._session = client, session
        self._name = f"/typed/{Typist._n_documents}/{session.path}"
        self._row = session.before.count("\n")
        self._now, self._shown = "", ""
        self.asked_s: list[float] = []
        self.through_s: list[float] = []
        self.n_accepted = 0
        client.open(self._name, session.before + session.after)

    def wait_for_a_suggestion(self, timeout_s: float = 60.0) -> None:
        """Ask at places of the session until something is offered."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            for typed in self._session.states:
                self.put(typed)
                if self.ask(typed).result()["items"]:
                    return
        raise SystemExit("nothing was ever suggested")

    def type(self) -> None:
        """All keys; a suggestion that is what comes next is accepted, and its keys left out."""
        self.rest()
        time.sleep(REST_S)
        skip_to = 0
        for typed in self._session.states:
            if len(typed) <= skip_to:
                continue
            self.put(typed)
            is_through = bool(self._shown) and self._shown.startswith(typed)
            reply = self.ask(typed)
            items = reply.result()["items"]
            (self.through_s if is_through else self.asked_s).append(reply.took_s or 0.0)
            text = typed + items[0]["insertText"] if items else ""
            self._shown = text
            gained = len(text) - len(typed)
            if gained >= LEAST_CHARS and self._session.target.startswith(text):
                self.put(text)
                self.n_accepted += gained
                skip_to, self._shown = len(text), ""
            time.sleep(KEY_S)

    def rest(self) -> None:
        """The cursor is at the place now, as our clients tell the server."""
        told = {"textDocument": {"uri": uri_of(self._name)}, "position": position(*self._at(""))}
        self._client.notify("textDocument/didFocus", told)

    def put(self, typed: str) -> None:
        """Make the document hold ``typed`` and its closers at the place; one edit to the end."""
        text = typed + closers(typed)
        kept = common_length(self._now, text)
        start, end = self._at(self._now[:kept]), self._at(self._now)
        self._client.edit(self._name, start, end, text[kept:])
        self._now = text

    def ask(self, typed: str) -> Reply:
        return self._client.ask_inline(self._name, *self._at(typed))

    def _at(self, typed: str) -> tuple[int, int]:
        return self._row + typed.count("\n"), len(typed.rpartition("\n")[2])


def common_length(one: str, other: str) -> int:
    """How many leading characters two texts share."""
    same = (a == b for a, b in zip(one, other, strict=False))
    return next((at for at, is_same in enumerate(same) if not is_same), min(len(one), len(other)))
