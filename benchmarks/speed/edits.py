"""Editing sessions made from a repository's newest commits: what was added is typed again.

Each hunk that adds lines becomes one session: the file as the commit left it but for those lines,
and the keys that bring them in, one character at a time, with a slip of the finger now and then
that is taken back. Indentation comes with the line break, and a bracket's other half stands behind
the cursor as soon as it is opened (``closers``), as editors have it.
"""

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SLIPS = 0.04
"""Of a hundred characters so many are typed wrong first and erased."""

MOST_CHARS = 200_000
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Session:
    """One place of one file, and what is typed there.

    Attributes:
        path: of the file in its repository.
        before, after: the file around the place.
        states: what stands typed at the place after each key.
        target: what stands there in the end.
    """

    path: str
    before: str
    after: str
    states: tuple[str, ...]
    target: str


def closers(typed: str) -> str:
    """What an editor has put behind the cursor for the brackets that ``typed`` left open."""
    still_open: list[str] = []
    for char in typed:
        if char in _CLOSER:
            still_open.append(_CLOSER[char])
        elif still_open and char == still_open[-1]:
            still_open.pop()
    return "".join(reversed(still_open))


def sessions(repository: Path, count: int, most_keys: int, n_commits: int = 400) -> list[Session]:
    """The newest sessions of a repository, at most one per commit."""
    found: list[Session] = []
    for commit in _git(repository, "rev-list", "--no-merges", f"-{n_commits}", "HEAD").split():
        session = next(_of_commit(repository, commit, most_keys), None)
        if session is not None:
            found.append(session)
        if len(found) == count:
            break
    return found


def _of_commit(repository: Path, commit: str, most_keys: int) -> Iterator[Session]:
    diff = _git(repository, "show", "--format=", "-U0", "--no-ext-diff", commit, "--", "*.py")
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line[6:] if line.startswith("+++ b/") else ""
        hunk = _HUNK.match(line)
        if hunk and path:
            start, count = int(hunk[1]) - 1, int(hunk[2] or 1)
            if count >= 2:
                session = _session(repository, commit, path, slice(start, start + count), most_keys)
                if session is not None:
                    yield session


def _session(
    repository: Path, commit: str, path: str, added: slice, most_keys: int
) -> Session | None:
    text = _git(repository, "show", f"{commit}:{path}")
    lines = text.split("\n")
    target = "\n".join(lines[added])
    if len(text) > MOST_CHARS or not target.isascii() or len(target) < most_keys:
        return None
    before = "".join(line + "\n" for line in lines[: added.start])
    after = "".join("\n" + line for line in lines[added.stop :])
    states = tuple(_keys(target, random.Random(commit + path)))[:most_keys]
    return Session(path, before, after, states, target)


def _keys(target: str, chance: random.Random) -> Iterator[str]:
    """What stands typed after each key."""
    typed = 0
    while typed < len(target):
        rest = target[typed:]
        if rest[0] in " \n" and (typed == 0 or rest[0] == "\n"):
            typed += len(rest) - len(rest.lstrip())  # the editor indents
            yield target[:typed]
            continue
        if chance.random() < SLIPS:
            yield target[:typed] + chance.choice("etaoinshr")
            yield target[:typed]
        typed += 1
        yield target[:typed]


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(command, check=True, capture_output=True)
    return done.stdout.decode("utf-8", "replace")
