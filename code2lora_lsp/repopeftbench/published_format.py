"""The published parquet columns (code2lora-spec, section 5.5) ↔ items and commits.

Two tables joined by (repo_id, commit_sha): questions, and commits with their embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
_COMMITS = {
    "repo_id": "string", "commit_sha": "string", "commit_index": "int64",
    "in_repo_split": "string", CROSS_REPO: "string", "production_code_diff": "string",
}  # fmt: skip
_EMBEDDINGS = ("diff_embedding", "repo_state_embedding")

Embedding = npt.NDArray[np.float16]
"""[2E] float16: for the published encoder 2,048 numbers."""


@dataclass(frozen=True, eq=False)
class PublishedCommit:
    """One row of the commits table; embeddings are None where the table has no such column."""

    repository: str
    commit_id: str
    commit_index: int
    in_repo_split: InRepoSplit
    cross_repo_split: str
    production_code_diff: str
    diff_embedding: Embedding | None = None
    repo_state_embedding: Embedding | None = None


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
    write_rows(path, rows, _QUESTIONS, ())


def read_commits(path: Path) -> list[PublishedCommit]:
    """Rows of a commits table, with embeddings where it has them.

    Raises:
        ConfigError: as for ``read_questions``.
    """
    columns = _COMMITS | dict.fromkeys(_EMBEDDINGS, "")
    return [
        PublishedCommit(
            row["repo_id"],
            row["commit_sha"],
            row.get("commit_index") or 0,
            _split(row.get("in_repo_split"), path),
            row.get(CROSS_REPO) or "",
            row.get("production_code_diff") or "",
            *(_embedding(row.get(name)) for name in _EMBEDDINGS),
        )
        for row in read_rows(path, columns, _REQUIRED[:2])
    ]


def write_commits(path: Path, commits: Sequence[PublishedCommit]) -> None:
    """Write a commits table. An embedding column is written when every commit has it.

    Raises:
        ConfigError: pyarrow is missing, or only some of the commits have an embedding.
    """
    present = []
    for name in _EMBEDDINGS:
        n_given = sum(getattr(commit, name) is not None for commit in commits)
        if n_given not in {0, len(commits)}:
            raise ConfigError(
                f"{n_given} of {len(commits)} commits have a {name}: give all or none"
            )
        present += [name] if n_given else []
    rows = [
        {
            "repo_id": commit.repository,
            "commit_sha": commit.commit_id,
            "commit_index": commit.commit_index,
            "in_repo_split": commit.in_repo_split.value,
            CROSS_REPO: commit.cross_repo_split,
            "production_code_diff": commit.production_code_diff,
            **{name: np.asarray(getattr(commit, name), np.float16) for name in present},
        }
        for commit in commits
    ]
    write_rows(path, rows, _COMMITS, present)


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


def _embedding(values: Sequence[float] | None) -> Embedding | None:
    return None if values is None else np.asarray(values, np.float16)
