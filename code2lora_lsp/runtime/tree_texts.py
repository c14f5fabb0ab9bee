"""The text of trees as a ledger reads it: redacted, with LF line breaks, nothing that is secret."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.secrets import redact
from code2lora_lsp.history.tree_changes import FileVersions
from code2lora_lsp.recipe import SOURCE_V1

TREE_RECIPE = replace(SOURCE_V1, name="tree-v1", snapshot_max_files=None)
"""Every Python source of at most 500 kB that is not secret by its name, nor excluded."""

Texts = Mapping[str, str]
"""Path → text; a path that is absent is not read."""


class TreeTexts:
    """Reads one repository's sources; owned by its tracker's thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._rules = repository.rules(TREE_RECIPE)

    def changes(self, before: str | None, after: str) -> list[FileVersions]:
        """Files to be read that differ between two commits' trees; ``None`` is the empty tree.

        Raises:
            GitReadFailed: git does not have one of them.
        """
        return self._repository.tree_changes(before, after, TREE_RECIPE)

    def before(self, changes: Iterable[FileVersions]) -> dict[str, str]:
        """The texts that changed files had."""
        return self._read({c.path: c.before for c in changes if c.before is not None})

    def after(self, changes: Iterable[FileVersions]) -> dict[str, str]:
        """The texts that changed files have."""
        return self._read({c.path: c.after for c in changes if c.after is not None})

    def at(self, commit_id: str, paths: Sequence[str]) -> dict[str, str]:
        """The texts of those paths that are read at a commit."""
        return self._read(self._repository.blob_ids(commit_id, paths, TREE_RECIPE))

    def on_disk(self, commit_id: str, paths: Sequence[str]) -> dict[str, str]:
        """As ``at``, of those that lie in the work tree as they would be committed.

        The others' text on disk is not the repository's: encrypted files lie there in the clear.
        """
        texts = self.at(commit_id, paths)
        converted = self._repository.converted_paths(texts)
        return {path: text for path, text in texts.items() if path not in converted}

    def given(self, contents: Mapping[str, bytes | None]) -> dict[str, str]:
        """The texts of contents by path, as if they were committed."""
        return {
            path: source_text(content)
            for path, content in contents.items()
            if content is not None and self._rules.reads_snapshot(path) and _is_of_size(content)
        }

    def _read(self, blob_ids: Mapping[str, str]) -> dict[str, str]:
        contents = self._repository.read_blobs(blob_ids.values())
        return {
            path: source_text(content)
            for path, (_, content) in zip(blob_ids, contents, strict=True)
            if _is_of_size(content)
        }


def source_text(content: bytes) -> str:
    """A file as a model reads it: UTF-8 without its mark, LF line breaks, secrets replaced."""
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    return redact(text.replace("\r\n", "\n").replace("\r", "\n"))[0]


def _is_of_size(content: bytes) -> bool:
    return 0 < len(content) <= TREE_RECIPE.snapshot_max_file_bytes
