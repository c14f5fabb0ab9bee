"""What differs between two trees, whatever the commits between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from code2lora_lsp.history.git_process import GitCommand

_REGULAR = ("100644", "100755")
_OPTIONS = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-relative")


@dataclass(frozen=True)
class FileVersions:
    """One path in two trees: a blob id, or ``None`` where it is no regular file."""

    path: str
    before: str | None
    after: str | None


def read_tree_changes(git: GitCommand, before: str, after: str) -> Iterator[FileVersions]:
    """Every path whose content differs between two trees or commits.

    Raises:
        GitReadFailed: git does not have one of them.
    """
    output = git.run("diff-tree", *_OPTIONS, before, after)[1]
    parts = output.split(b"\0")[:-1]
    for facts, path in zip(parts[::2], parts[1::2], strict=True):
        old_mode, new_mode, old_blob, new_blob, _ = facts.decode("ascii").lstrip(":").split()
        old = old_blob if old_mode in _REGULAR else None
        new = new_blob if new_mode in _REGULAR else None
        if old != new:
            yield FileVersions(path.decode("utf-8", "surrogateescape"), old, new)


def read_blob_ids(git: GitCommand, commit_id: str, paths: Sequence[str]) -> dict[str, str]:
    """Path → blob id of those paths that are regular files at a commit."""
    if not paths:
        return {}
    output = git.run("ls-tree", "-z", "--full-tree", commit_id, "--", *paths)[1]
    found: dict[str, str] = {}
    for entry in output.split(b"\0")[:-1]:
        facts, _, name = entry.partition(b"\t")
        mode, _, blob_id = facts.decode("ascii").split()
        if mode in _REGULAR:
            found[name.decode("utf-8", "surrogateescape")] = blob_id
    return found


def commits_among(git: GitCommand, commit_ids: Sequence[str]) -> list[str]:
    """Those that are here, in the order given."""
    if not commit_ids:
        return []
    stdin = "".join(commit_id + "\n" for commit_id in commit_ids).encode()
    answer = git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=stdin)[1]
    lines = answer.decode("ascii").splitlines()
    return [
        commit_id
        for commit_id, line in zip(commit_ids, lines, strict=True)
        if line.endswith(" commit")
    ]
