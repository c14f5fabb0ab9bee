"""The published parquet columns."""

import importlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.published_format import (
    read_questions,
    write_questions,
)


def question(n: int, split: InRepoSplit = InRepoSplit.VALIDATION) -> Item:
    return with_id(
        Item(
            item_id="", repository="a/b", commit_id="c" * 40, commit_index=n, in_repo_split=split,
            track=Track.EVOLUTION, kind="assert", path="tests/test_ü.py", function="test_x",
            line=3 + n, column=4, prefix="def test_x():\n    assert f() == ", target=f"'é{n}'",
            strata={"cross_repo_split": "cr_test"},
        )
    )  # fmt: skip


def test_questions_come_back_as_they_were_written(tmp_path):
    items = [question(n, split) for n, split in enumerate(InRepoSplit)]
    write_questions(tmp_path / "q.parquet", items)
    assert read_questions(tmp_path / "q.parquet") == items


def test_written_questions_have_the_published_columns(tmp_path):
    write_questions(tmp_path / "q.parquet", [question(0)])
    assert pq.read_schema(tmp_path / "q.parquet").names == [
        "repo_id", "commit_sha", "commit_index", "in_repo_split", "cross_repo_split", "prefix",
        "target", "test_file", "test_function", "assertion_type", "lineno", "col_offset",
    ]  # fmt: skip


def test_a_table_with_more_columns_and_without_splits_is_read(tmp_path):
    table = pa.table(
        {
            "prefix": ["assert x == "], "target": ["1"], "commit_sha": ["d" * 40],
            "repo_id": ["a/b"], "lineno": pa.array([7], pa.int32()), "extra": [1.5],
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "q.parquet")
    [item] = read_questions(tmp_path / "q.parquet", Track.STATIC)
    assert (item.prefix, item.target, item.line) == ("assert x == ", "1", 7)
    assert (item.in_repo_split, item.track) == (InRepoSplit.TEST, Track.STATIC)


def test_a_table_without_a_needed_column_is_refused(tmp_path):
    pq.write_table(pa.table({"prefix": ["x"]}), tmp_path / "q.parquet")
    with pytest.raises(ConfigError, match="lacks the column repo_id, commit_sha, target"):
        read_questions(tmp_path / "q.parquet")


def test_an_unknown_split_and_a_row_without_a_target_are_refused(tmp_path):
    row = {"repo_id": "a/b", "commit_sha": "c", "prefix": "x", "target": "1"}
    pq.write_table(pa.Table.from_pylist([row | {"in_repo_split": "dev"}]), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="'dev' is none of train, val, test"):
        read_questions(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist([row, row | {"target": None}]), tmp_path / "b.parquet")
    with pytest.raises(ConfigError, match="a row without"):
        read_questions(tmp_path / "b.parquet")


def test_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "q.parquet").write_text("no table")
    with pytest.raises(ConfigError, match="no parquet file"):
        read_questions(tmp_path / "q.parquet")


def test_a_missing_pyarrow_is_named(tmp_path, monkeypatch):
    def refuse(name, *rest):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match=r'pip install "code2lora-lsp\[bench\]"'):
        write_questions(tmp_path / "q.parquet", [question(0)])
    assert list(tmp_path.iterdir()) == []
