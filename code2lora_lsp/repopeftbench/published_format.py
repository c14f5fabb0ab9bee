"""The published parquet columns (code2lora-spec, section 5.5) ↔ items.

Of the two published tables the one of questions; the other holds commits and their embeddings.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.parquet_tables import read_rows, write_rows
from code2lora_lsp.repopeftbench.splits import cross_repository_split

CROSS_REPO = "cross_repo_split"
"""Column, and stratum of an item that was read, with its value."""

_REQUIRED = ("repo_id", "commit_sha", "prefix", "target")
_QUESTIONS = {
    "repo_id": "string", "commit_sha": "string", "commit_index": "int64",
    "in_repo_split": "string", CROSS_REPO: "string", "prefix": "string", "target": "string",
    "test_file": "string", "test_function": "string", "assertion_type": "string",
    "lineno": "int64", "col_offset": "int64",
}  # fmt: skip


def read_questions(path: Path, track: Track = Track.EVOLUTION) -> list[Item]:
    """Items of a questions table, in its order; other columns are ignored.

    A column that a table lacks (an OOD set may have no splits) has its neutral value; without
    ``in_repo_split`` every row is for testing.

    Raises:
        ConfigError: pyarrow or the file is missing, a needed column is, or a split is unknown.
    """
    return [_item(row, track, path) for row in read_rows(path, _QUESTIONS, _REQUIRED)]


def write_questions(
    path: Path, items: Sequence[Item], cross_repo_splits: Mapping[str, str] | None = None
) -> None:
    """Write a questions table that ``read_questions`` and the authors' code read.

    Args:
        path: replaced atomically.
        items: in the order they are to have.
        cross_repo_splits: repository -> split; else what the item was read with, or the hash rule.

    Raises:
        ConfigError: pyarrow is missing.
    """
    given = cross_repo_splits or {}
    rows = [
        {
            "repo_id": item.repository,
            "commit_sha": item.commit_id,
            "commit_index": item.commit_index,
            "in_repo_split": item.in_repo_split.value,
            CROSS_REPO: given.get(item.repository) or _cross_repo_split(item),
            "prefix": item.prefix,
            "target": item.target,
            "test_file": item.path,
            "test_function": item.function,
            "assertion_type": item.kind,
            "lineno": item.line,
            "col_offset": item.column,
        }
        for item in items
    ]
    write_rows(path, rows, _QUESTIONS)


def _item(row: Mapping[str, Any], track: Track, path: Path) -> Item:
    split = row.get(CROSS_REPO)
    return with_id(
        Item(
            item_id="",
            repository=row["repo_id"],
            commit_id=row["commit_sha"],
            commit_index=row.get("commit_index") or 0,
            in_repo_split=_split(row.get("in_repo_split"), path),
            track=track,
            kind=row.get("assertion_type") or "",
            path=row.get("test_file") or "",
            function=row.get("test_function") or "",
            line=row.get("lineno") or 0,
            column=row.get("col_offset") or 0,
            prefix=row["prefix"],
            target=row["target"],
            strata={CROSS_REPO: split} if split else {},
        )
    )


def _split(value: str | None, path: Path) -> InRepoSplit:
    if not value:
        return InRepoSplit.TEST
    try:
        return InRepoSplit(value)
    except ValueError as error:
        known = ", ".join(split.value for split in InRepoSplit)
        raise ConfigError(f"{path}: in_repo_split {value!r} is none of {known}") from error


def _cross_repo_split(item: Item) -> str:
    return item.strata.get(CROSS_REPO) or cross_repository_split(item.repository)
