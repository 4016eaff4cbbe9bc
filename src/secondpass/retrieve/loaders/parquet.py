"""Parquet: one document a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from secondpass.errors import MissingExtraError
from secondpass.retrieve.loaders.base import from_record, unreadable
from secondpass.types import Document


def read(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Give each row as a document, reading some row groups at a time."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading Parquet", package="pyarrow", extra="index") from error
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    where = f"{path}, row {number}"
                    yield from_record(record, where, f"{name}:{number}", fields)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
