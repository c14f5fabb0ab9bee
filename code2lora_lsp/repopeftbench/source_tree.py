"""Whole source trees of commits, hidden files included: for building items and checking leaks.

What an arm may read is less; see ``arms.known_tree``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import SOURCE_V1

TREE_RECIPE = replace(SOURCE_V1, snapshot_max_files=None)
"""Every Python source of at most 500 kB that is not secret by its name."""


@dataclass(frozen=True)
class SourceTree:
    """One commit's sources: path -> text with LF line breaks, and path -> blob id."""

    commit_id: str
    texts: Mapping[str, str]
    blob_ids: Mapping[str, str]


class TreeReader:
    """Reads trees of one repository; a blob that several commits share is read once."""

    def __init__(self, git_dir: Path) -> None:
        self._repository = Repository.at_git_dir(git_dir)
        self._texts: dict[str, str] = {}

    def read(self, commit_id: str) -> SourceTree:
        """The sources of ``commit_id``, by path.

        Raises:
            GitReadFailed: the commit or a blob is missing.
        """
        entries = self._repository.snapshot(commit_id, TREE_RECIPE)
        blob_ids = {entry.path: entry.blob_id for entry in sorted(entries, key=lambda e: e.path)}
        new = [blob_id for blob_id in set(blob_ids.values()) if blob_id not in self._texts]
        for blob_id, content in self._repository.read_blobs(new):
            self._texts[blob_id] = as_text(content)
        texts = {path: self._texts[blob_id] for path, blob_id in blob_ids.items()}
        return SourceTree(commit_id, texts, blob_ids)


def as_text(content: bytes) -> str:
    """A file as a model reads it: UTF-8 without its mark, LF line breaks."""
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")
