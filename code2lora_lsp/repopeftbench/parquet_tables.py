"""Rows ↔ parquet files, through the optional package pyarrow."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.atomic_file import replacing

ROWS_AT_ONCE = 1024


def read_rows(
    path: Path, columns: Mapping[str, str], required: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Rows with those of ``columns`` that the table has, a batch in memory at a time.

    Raises:
        ConfigError: pyarrow is missing, the file cannot be read, or a ``required`` column is
            absent or has no value in some row.
    """
    parquet = _import("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no parquet file that can be read: {error}") from error
    with file:
        names = file.schema_arrow.names
        missing = [name for name in required if name not in names]
        if missing:
            raise ConfigError(
                f"{path} lacks the column {', '.join(missing)}; it has {', '.join(names)}"
            )
        present = [name for name in columns if name in names]
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=present):
            for row in batch.to_pylist():
                if any(row[name] is None for name in required):
                    raise ConfigError(f"{path} has a row without {' or '.join(required)}: {row}")
                yield row


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> None:
    """Replace ``path`` by a table.

    Args:
        path: replaced atomically.
        rows: one mapping per row, with every column.
        types: column -> name of its arrow type.

    Raises:
        ConfigError: pyarrow is missing.
    """
    arrow, parquet = _import("pyarrow"), _import("pyarrow.parquet")
    fields = [arrow.field(name, getattr(arrow, kind)()) for name, kind in types.items()]
    table = arrow.Table.from_pylist(list(rows), schema=arrow.schema(fields))
    with replacing(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            'published data sets need pyarrow: pip install "code2lora-lsp[bench]"'
        ) from error
