"""The published stream: first-parent commits that bring a new assertion (spec, section 4)."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.assertions import assertion_keys
from code2lora_lsp.history.diff import is_test_path
from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.walk import CommitChanges, FileChange, read_blobs, read_changes
from code2lora_lsp.recipe import SKIPPED_DIRECTORIES

_Keys = dict[str, frozenset[bytes]]
"""Path of a test file → digests of its assertions."""


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
        for commit_id, brings_new in self._scan(revisions, keys, cancellation):
            if brings_new:
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
        self, revisions: list[str], keys: _Keys, cancellation: Cancellation
    ) -> Iterator[tuple[str, bool]]:
        """Each commit and whether it is kept; ``keys`` is brought up to date on the way."""
        commits = [
            commit
            for commit in read_changes(
                self._git, *revisions, renames=True, oldest_first=True, quoted_paths=True
            )
            if any(is_python_test_file(path) for file in commit.files for path in _paths(file))
        ]
        read = (file.blob_id for commit in commits for file in commit.files if _is_read(file))
        contents = read_blobs(self._git, list(read))
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


def _apply(commit: CommitChanges, keys: _Keys, contents: Iterator[tuple[str, bytes]]) -> bool:
    """Bring ``keys`` from before ``commit`` to after it; whether an assertion is new.

    All moves and removals of a commit come before its contents, as published.
    """
    for file in commit.files:
        if file.path != file.old_path and file.old_path in keys:
            keys[file.path] = keys.pop(file.old_path)
        if file.status.startswith("D"):
            keys.pop(file.path, None)
    brings_new = False
    for file in commit.files:
        if _is_read(file):
            now = assertion_keys(next(contents)[1].decode("utf-8", "replace"))
            brings_new |= bool(now - keys.get(file.path, frozenset()))
            keys[file.path] = now
        elif not file.is_blob:
            keys.pop(file.path, None)
    return brings_new


def _is_read(file: FileChange) -> bool:
    return file.is_blob and not file.status.startswith("D") and is_python_test_file(file.path)


def _paths(file: FileChange) -> tuple[str, str]:
    return file.old_path, file.path
