"""The text of one commit that a hypernetwork reads, exactly as the recipe says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.history.secrets import is_secret_path, redact
from code2lora_lsp.recipe import SKIPPED_DIRECTORIES, Recipe

FILE_HEADER = b"diff --git "
"""A line of a patch that starts like this begins the next file; content is always indented."""

_RENAME_KEYWORDS = (b"rename from ", b"rename to ", b"copy from ", b"copy to ")
_ESCAPES = {
    "a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92,
}  # fmt: skip
_ESCAPED = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')


@dataclass(frozen=True)
class CommitDiff:
    """What one step reads.

    Attributes:
        parent_id: the commit the diff starts from; ``None`` is the empty tree.
        text: filtered and redacted patch, empty when no file of the recipe changed.
        n_files: files in ``text``.
        added_lines, removed_lines: lines of ``text`` with ``+`` and ``-`` inside hunks.
        n_redacted: secrets replaced inside ``text``.
        skipped_secret_paths: changed files that were left out because of their names.
    """

    commit_id: str
    parent_id: str | None
    text: str
    n_files: int
    added_lines: int
    removed_lines: int
    n_redacted: int
    skipped_secret_paths: tuple[str, ...]


@dataclass(frozen=True)
class PathRules:
    """Which paths a recipe reads, less secrets and what the user excludes.

    ``exclude`` holds gitignore patterns. They change the text, hence the state: whoever stores
    states keys them by the patterns too.
    """

    recipe: Recipe
    exclude: tuple[str, ...] = ()

    @property
    def is_published(self) -> bool:
        """The published stream reads paths by the published code's rule, odd corners included."""
        return self.recipe.commits == "kept"

    def reads(self, path: str) -> bool:
        """Whether the recipe reads this file's diff, secrets and exclusions apart."""
        pure = PurePosixPath(path)
        if pure.suffix.lower() not in self.recipe.suffixes:
            return False
        if any(part in SKIPPED_DIRECTORIES for part in pure.parts):
            return False
        return not (self.recipe.exclude_tests and is_test_path(path))

    def reads_snapshot(self, path: str) -> bool:
        """Whether a snapshot reads this file. Tests are part of a snapshot in every recipe.

        A name that is no UTF-8 can stand in no block and no prompt: such a file is not read.
        """
        if not path.endswith(self.recipe.snapshot_suffixes) or self.withholds(path):
            return False
        if not is_utf8(path) or (self.is_published and is_quoted_by_git(path)):
            return False
        return not any(part in SKIPPED_DIRECTORIES for part in PurePosixPath(path).parts)

    def withholds(self, path: str) -> bool:
        """Whether the file is secret by its name or excluded by the user."""
        return is_secret_path(path) or bool(self.exclude and self._spec.match_file(path))

    @cached_property
    def _spec(self) -> GitIgnoreSpec:
        try:
            return GitIgnoreSpec.from_lines(self.exclude)
        except ValueError as error:
            raise ConfigError(
                f"setting follow.exclude: {list(self.exclude)!r} holds a pattern that is not "
                f"gitignore syntax: {error}"
            ) from error


@dataclass
class DiffBuilder:
    """Collects the files of one commit's patch, in git's order."""

    rules: PathRules
    _kept: list[bytes] = field(default_factory=list)
    _secret: list[str] = field(default_factory=list)

    def add_file(self, lines: Sequence[bytes]) -> None:
        """One file's patch: its ``diff --git`` line and all that follows, line ends included."""
        old, new = chunk_paths(lines)
        secret = [path for path in dict.fromkeys((new, old)) if is_secret_path(path)]
        self._secret += secret
        if secret or self.rules.withholds(new) or self.rules.withholds(old):
            return
        read = [_published_path(lines[0])] if self.rules.is_published else [new, old]
        if any(path is not None and self.rules.reads(path) for path in read):
            self._kept.append(b"".join(lines if self.rules.is_published else _without_ids(lines)))

    def build(self, commit_id: str, parent_id: str | None) -> CommitDiff:
        text, n_redacted = redact(b"".join(self._kept).decode("utf-8", "replace"))
        added, removed = _count_lines(self._kept)
        return CommitDiff(
            commit_id=commit_id,
            parent_id=parent_id,
            text=text,
            n_files=len(self._kept),
            added_lines=added,
            removed_lines=removed,
            n_redacted=n_redacted,
            skipped_secret_paths=tuple(self._secret),
        )


def is_test_path(path: str) -> bool:
    return any("test" in part.lower() for part in PurePosixPath(path).parts)


def is_utf8(path: str) -> bool:
    """Whether no byte of a path had to be carried by a surrogate."""
    return not any("\ud800" <= char <= "\udfff" for char in path)


def is_quoted_by_git(path: str) -> bool:
    """Whether git prints this path in quotes by default: such files the published code drops."""
    return any(byte < 0x20 or byte >= 0x7F or byte in b'"\\' for byte in _path_bytes(path))


def chunk_paths(lines: Sequence[bytes]) -> tuple[str, str]:
    """Old and new path of one file's patch."""
    renamed: list[str] = []
    for line in lines[1:]:
        if line.startswith((b"--- ", b"@@", b"Binary ", FILE_HEADER)):
            break
        renamed += [
            unquote_path(line[len(keyword) :].rstrip(b"\n"))
            for keyword in _RENAME_KEYWORDS
            if line.startswith(keyword)
        ]
    if len(renamed) == 2:
        return renamed[0], renamed[1]
    path = _same_path(lines[0][len(FILE_HEADER) :].rstrip(b"\n"))
    return path, path


def unquote_path(written: bytes) -> str:
    """A path as git prints it, C-quoted or not. Bytes that are no UTF-8 become surrogates."""
    if not (written.startswith(b'"') and written.endswith(b'"') and len(written) >= 2):
        return written.decode("utf-8", "surrogateescape")
    return _ESCAPED.sub(_unescaped, written[1:-1]).decode("utf-8", "surrogateescape")


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1].decode("ascii")
    return bytes([_ESCAPES[code] if code in _ESCAPES else int(code, 8)])


def _same_path(header: bytes) -> str:
    """``a/X b/X`` → X. Both halves are equally long, so spaces in X do not matter."""
    half = header[: len(header) // 2]
    return unquote_path(half).removeprefix("a/")


def _published_path(header: bytes) -> str | None:
    """The new path as the published code reads it: after the first `` b/``; quoted is unread."""
    prefix = FILE_HEADER + b"a/"
    at = header.find(b" b/", len(prefix) + 1)
    if not header.startswith(prefix) or at < 0:
        return None
    return header[at + 3 :].rstrip(b"\n").decode("utf-8", "replace") or None


def _without_ids(lines: Sequence[bytes]) -> list[bytes]:
    """Drop the ``index`` line: its abbreviation depends on how many objects a clone holds."""
    for at, line in enumerate(lines):
        if line.startswith(b"index "):
            return [*lines[:at], *lines[at + 1 :]]
        if line.startswith((b"--- ", b"Binary ")):
            break
    return list(lines)


def _count_lines(chunks: Sequence[bytes]) -> tuple[int, int]:
    """Added and removed lines after each file's header."""
    added = removed = 0
    for chunk in chunks:
        hunks_at = chunk.find(b"\n@@ ")
        if hunks_at >= 0:
            added += chunk.count(b"\n+", hunks_at)
            removed += chunk.count(b"\n-", hunks_at)
    return added, removed


def _path_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
