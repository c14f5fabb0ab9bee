"""The files of one commit's tree that a recipe reads."""

from collections.abc import Iterator
from dataclasses import dataclass

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.diff import PathRules
from code2lora_lsp.history.git_process import COMPLETE_A_PARTIAL_CLONE, GitCommand

_SYMLINK_MODE = "120000"


@dataclass(frozen=True)
class SnapshotFile:
    """One file of a commit's tree; ``path`` has forward slashes."""

    path: str
    blob_id: str
    size_bytes: int


def read_snapshot(git: GitCommand, commit_id: str, rules: PathRules) -> list[SnapshotFile]:
    """Largest first, then by path bytes; no more than the recipe takes.

    Raises:
        GitReadFailed: git does not have the commit, or a file that is read.
    """
    files = sorted(
        (file for file in _tree(git, commit_id, rules) if rules.reads_snapshot(file.path)),
        key=lambda file: (-file.size_bytes, file.path.encode("utf-8", "surrogateescape")),
    )
    return files[: rules.recipe.snapshot_max_files]


def _tree(git: GitCommand, commit_id: str, rules: PathRules) -> Iterator[SnapshotFile]:
    """Blobs of the recipe's size. The published code also read symbolic links."""
    output = git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit_id)[1]
    for entry in output.split(b"\0")[:-1]:
        facts, _, path = entry.partition(b"\t")
        mode, kind, blob_id, size = facts.decode("ascii").split()
        if kind != "blob" or (mode == _SYMLINK_MODE and not rules.is_published):
            continue
        name = path.decode("utf-8", "surrogateescape")
        if not size.isdigit():  # git prints BAD for a blob it does not have
            if rules.reads_snapshot(name):
                raise GitReadFailed(
                    f"{git.git_dir} lacks blob {blob_id} of {name!r} at {commit_id[:12]}. "
                    f"Where that is a partial clone: {COMPLETE_A_PARTIAL_CLONE}"
                )
        elif 0 < int(size) <= rules.recipe.snapshot_max_file_bytes:
            yield SnapshotFile(name, blob_id, int(size))
