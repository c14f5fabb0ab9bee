"""The published stream: first-parent commits that bring a new assertion (spec, section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.assertions import Assertion, assertion_keys, keyed_assertions
from code2lora_lsp.history.diff import is_test_path
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.walk import CommitChanges, FileChange, read_blobs, read_changes
from code2lora_lsp.recipe import SKIPPED_DIRECTORIES

_Keys = dict[str, frozenset[bytes]]
"""Path of a test file → digests of its assertions."""


@dataclass(frozen=True)
class NewAssertions:
    """What one commit brings to one test file, in the order of ``find_assertions``."""

    path: str
    source: str
    assertions: tuple[Assertion, ...]


@dataclass(frozen=True)
class KeptCommit:
    """One commit of the published stream, its files in git's order."""

    commit_id: str
    files: tuple[NewAssertions, ...]


def read_kept_commits(
    git: GitCommand,
    tip: str,
    since: str | None = None,
    cancellation: Cancellation | None = None,
) -> Iterator[KeptCommit]:
    """The published stream up to ``tip``, oldest first, with the assertions that make it.

    One commit's sources are in memory at a time. ``since``, a first parent of ``tip``, leaves out
    what is not newer; its tree says which assertions are already there.

    Raises:
        GitReadFailed: while iterating.
    """
    keys = _keys_at(git, since) if since else {}
    revisions = [tip, f"^{since}"] if since else [tip]
    for commit_id, files in _scan(git, revisions, keys, cancellation or Cancellation()):
        if files:
            yield KeptCommit(commit_id, tuple(files))


def _keys_at(git: GitCommand, commit_id: str) -> _Keys:
    """The keys of every test file of a tree."""
    with git.stream("ls-tree", "-r", "--full-tree", commit_id, quoted_paths=True) as stream:
        rows = stream.stdout.read().decode("utf-8", "surrogateescape").splitlines()
        stream.finish()
    entries = (row.partition("\t") for row in rows)
    files = [(path, facts.split()) for facts, _, path in entries if is_python_test_file(path)]
    blobs = [(path, blob_id) for path, (_, kind, blob_id) in files if kind == "blob"]
    contents = read_blobs(git, [blob_id for _, blob_id in blobs])
    return {
        path: assertion_keys(content.decode("utf-8", "replace"))
        for (path, _), (_, content) in zip(blobs, contents, strict=True)
    }


class KeptCommits:
    """Scans for kept commits and remembers the last scan, so that a new commit costs one step.

    A tip that does not continue the last one (amend, rebase, another branch) is scanned from the
    start. Belongs to one thread.
    """

    def __init__(self, git: GitCommand) -> None:
        self._git = git
        self._tip: str | None = None
        self._kept: tuple[str, ...] = ()
        self._keys: _Keys = {}

    def up_to(self, tip: str, cancellation: Cancellation) -> tuple[str, ...]:
        """Kept commits among the first parents of ``tip``, oldest first."""
        if tip == self._tip:
            return self._kept
        known = self._tip if self._tip is not None and self._continues(tip) else None
        keys: _Keys = dict(self._keys) if known else {}
        kept = list(self._kept) if known else []
        revisions = [tip, f"^{known}"] if known else [tip]
        for commit_id, files in _scan(self._git, revisions, keys, cancellation):
            if files:
                kept.append(commit_id)
        self._tip, self._kept, self._keys = tip, tuple(kept), keys
        return self._kept

    def predecessors(self, commit_ids: list[str], cancellation: Cancellation) -> list[str | None]:
        """For each kept commit the kept commit before it; ``None`` before the first.

        Raises:
            GitReadFailed: an id is not a kept commit of the history of the last one.
        """
        tip = commit_ids[-1]
        kept = self._kept if tip in self._kept else self.up_to(tip, cancellation)
        before = dict(zip(kept, (None, *kept), strict=False))
        unknown = [commit_id for commit_id in commit_ids if commit_id not in before]
        if unknown:
            raise GitReadFailed(
                f"commit {unknown[0]} is not a kept commit of {tip}. "
                "Ask for the ids that source_commit_ids returned for this recipe."
            )
        return [before[commit_id] for commit_id in commit_ids]

    def _continues(self, tip: str) -> bool:
        with self._git.stream("rev-list", "--first-parent", tip, "--") as stream:
            for line in stream.stdout:
                if line.decode("ascii").strip() == self._tip:
                    return True
            stream.finish()
        return False


def _scan(
    git: GitCommand, revisions: list[str], keys: _Keys, cancellation: Cancellation
) -> Iterator[tuple[str, list[NewAssertions]]]:
    """Each commit and what is new in it; ``keys`` is brought up to date on the way."""
    commits = [
        commit
        for commit in read_changes(
            git, *revisions, renames=True, oldest_first=True, quoted_paths=True
        )
        if any(is_python_test_file(path) for file in commit.files for path in _paths(file))
    ]
    read = (file.blob_id for commit in commits for file in commit.files if _is_read(file))
    contents = read_blobs(git, list(read))
    for commit in commits:
        cancellation.check()
        yield commit.commit_id, _apply(commit, keys, contents)
    if next(contents, None) is not None:
        raise AssertionError("every blob asked for was read")


def is_python_test_file(path: str) -> bool:
    pure = PurePosixPath(path)
    if pure.suffix.lower() != ".py" or any(part in SKIPPED_DIRECTORIES for part in pure.parts):
        return False
    return is_test_path(path)


def _apply(
    commit: CommitChanges, keys: _Keys, contents: Iterator[tuple[str, bytes]]
) -> list[NewAssertions]:
    """Bring ``keys`` from before ``commit`` to after it; the files with a new assertion.

    All moves and removals of a commit come before its contents, as published.
    """
    for file in commit.files:
        if file.path != file.old_path and file.old_path in keys:
            keys[file.path] = keys.pop(file.old_path)
        if file.status.startswith("D"):
            keys.pop(file.path, None)
    found = []
    for file in commit.files:
        if _is_read(file):
            source = next(contents)[1].decode("utf-8", "replace")
            now, before = keyed_assertions(source), keys.get(file.path, frozenset())
            new = tuple(one for key, one in now if key not in before)
            if new:
                found.append(NewAssertions(file.path, source, new))
            keys[file.path] = frozenset(key for key, _ in now)
        elif not file.is_blob:
            keys.pop(file.path, None)
    return found


def _is_read(file: FileChange) -> bool:
    return file.is_blob and not file.status.startswith("D") and is_python_test_file(file.path)


def _paths(file: FileChange) -> tuple[str, str]:
    return file.old_path, file.path
