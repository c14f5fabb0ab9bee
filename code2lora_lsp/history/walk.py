"""Bulk reads: many diffs, changes or blobs from one git process each."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.diff import (
    FILE_HEADER,
    CommitDiff,
    DiffBuilder,
    PathRules,
    unquote_path,
)
from code2lora_lsp.history.git_process import GitCommand, GitStream

_SEPARATOR = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})(?: (?:[0-9a-f]{40}|[0-9a-f]{64}))?\n")
_SEPARATOR_LENGTHS = frozenset({41, 82, 65, 130})
_COMMIT = b"commit "
_SUBMODULE_MODE = "160000"
_RENAME_LIMIT = 1000
"""Git's own default since 2.34, fixed here so that a user's setting does not change a diff."""

_DIFF_OPTIONS = (
    "-p",
    "-M",
    f"-l{_RENAME_LIMIT}",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--diff-algorithm=myers",
    "--indent-heuristic",
    "--inter-hunk-context=0",
    "--submodule=short",
    "--ignore-submodules=none",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


@dataclass(frozen=True)
class DiffRequest:
    """One diff to read: ``commit_id`` against ``parent_id``, or against the empty tree.

    ``line`` asks ``git diff-tree --stdin`` for it, ``header`` is the line that git answers first.
    """

    commit_id: str
    parent_id: str | None
    line: str
    header: str

    @classmethod
    def between(cls, parent_id: str, commit_id: str) -> "DiffRequest":
        return cls(commit_id, parent_id, f"{commit_id} {parent_id}", commit_id)

    @classmethod
    def from_empty(cls, commit_id: str, tree_id: str, empty_tree_id: str) -> "DiffRequest":
        line = f"{empty_tree_id} {tree_id}"
        return cls(commit_id, None, line, line)


@dataclass(frozen=True)
class FileChange:
    """One file changed by a commit. ``status`` is git's letter, with a score for renames."""

    status: str
    blob_id: str
    old_path: str
    path: str
    is_blob: bool


@dataclass(frozen=True)
class CommitChanges:
    """Files changed by a commit against its first parent (``None``: against the empty tree)."""

    commit_id: str
    parent_id: str | None
    files: tuple[FileChange, ...]


def read_diffs(
    git: GitCommand,
    requests: Sequence[DiffRequest],
    rules: PathRules,
    cancellation: Cancellation,
) -> Iterator[CommitDiff]:
    """One ``CommitDiff`` per request, in order.

    A diff is yielded only when the next one began or git ended well, so none is ever cut short.

    Raises:
        GitReadFailed: git died, or left out a commit.
    """
    if not requests:
        return
    stdin = "".join(request.line + "\n" for request in requests).encode()
    options = (*_DIFF_OPTIONS, f"-U{rules.recipe.context_lines}")
    arguments = ("diff-tree", "--stdin", "--root", "--always", *options)
    with git.stream(*arguments, stdin=stdin, quoted_paths=rules.is_published) as stream:
        expected, current, builder = iter(requests), None, DiffBuilder(rules)
        for part in _patch_parts(stream):
            if isinstance(part, list):
                builder.add_file(part)
                continue
            if current is not None:
                yield builder.build(current.commit_id, current.parent_id)
            cancellation.check()
            current, builder = next(expected, None), DiffBuilder(rules)
            if current is None or part != current.header:
                raise stream.incomplete(f"the diff of commit {current and current.commit_id}")
        stream.finish()
        missing = next(expected, None) if current else requests[0]
        if current is None or missing is not None:
            raise stream.incomplete(f"the diff of commit {missing and missing.commit_id}")
        yield builder.build(current.commit_id, current.parent_id)


def _patch_parts(stream: GitStream) -> Iterator[str | list[bytes]]:
    """The line that begins a commit, or all lines of one file's patch."""
    chunk: list[bytes] = []
    for line in stream.stdout:
        if line.startswith(FILE_HEADER):
            if chunk:
                yield chunk
            chunk = [line]
        elif len(line) in _SEPARATOR_LENGTHS and _SEPARATOR.fullmatch(line):
            if chunk:
                yield chunk
            chunk = []
            yield line.decode("ascii").rstrip("\n")
        elif chunk:
            chunk.append(line)
        else:
            raise stream.incomplete(f"a patch; it printed {line[:80]!r}")
    if chunk:
        yield chunk


def read_changes(
    git: GitCommand, *revisions: str, renames: bool, oldest_first: bool, quoted_paths: bool
) -> Iterator[CommitChanges]:
    """Changed files of each first-parent commit of ``revisions``, without their contents.

    With ``quoted_paths`` the paths stay as git prints them by default, quotes included.
    """
    detect = ("-M", f"-l{_RENAME_LIMIT}") if renames else ("--no-renames",)
    order = ("--reverse",) if oldest_first else ()
    arguments = ("log", "--first-parent", "-m", "--raw", "--no-abbrev", "--no-color", *detect)
    arguments += (*order, "--format=commit %H %P", *revisions, "--")
    with git.stream(*arguments, quoted_paths=quoted_paths) as stream:
        current, files = None, list[FileChange]()
        for line in stream.stdout:
            if line.startswith(b":"):
                files.append(_change(line, unquote=not quoted_paths))
            elif line.startswith(_COMMIT):
                if current is not None:
                    yield CommitChanges(*current, tuple(files))
                ids = line.decode("ascii").split()[1:]
                current, files = (ids[0], ids[1] if len(ids) > 1 else None), []
        stream.finish()
        if current is not None:
            yield CommitChanges(*current, tuple(files))


def _change(line: bytes, *, unquote: bool) -> FileChange:
    """One line of ``--raw``: modes, blobs, status, a tab, one path or two."""
    facts, *written = line.rstrip(b"\n").split(b"\t")
    _, new_mode, _, new_blob, status = facts.decode("ascii").split()
    paths = [
        unquote_path(path) if unquote else path.decode("utf-8", "surrogateescape")
        for path in written
    ]
    return FileChange(status, new_blob, paths[0], paths[-1], is_blob=new_mode != _SUBMODULE_MODE)


def read_blobs(git: GitCommand, blob_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Contents in the order asked for, from one ``git cat-file --batch``.

    Raises:
        GitReadFailed: git died, or a blob is missing.
    """
    wanted = list(blob_ids)
    if not wanted:
        return
    stdin = "".join(blob_id + "\n" for blob_id in wanted).encode("ascii")
    with git.stream("cat-file", "--batch", stdin=stdin) as stream:
        for blob_id in wanted:
            yield blob_id, _read_blob(stream, blob_id)
        stream.finish()


def _read_blob(stream: GitStream, blob_id: str) -> bytes:
    header = stream.stdout.readline().decode("ascii", "replace").split()
    if not header:
        stream.finish()
    if len(header) != 3 or header[:2] != [blob_id, "blob"]:
        raise stream.incomplete(f"blob {blob_id}; it printed {' '.join(header)[:80]!r}")
    size_bytes = int(header[2])
    content = stream.stdout.read(size_bytes + 1)
    if len(content) != size_bytes + 1:
        stream.finish()
        raise stream.incomplete(f"blob {blob_id} at byte {len(content)} of {size_bytes}")
    return content[:-1]
