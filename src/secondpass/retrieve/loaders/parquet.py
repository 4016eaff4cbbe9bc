"""Parquet files: one document a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from secondpass.errors import MissingExtraError, ReadError
from secondpass.retrieve.loaders.base import Loader, read_error, skip_row, to_document
from secondpass.types import Document


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield each row as a document, without reading the whole file at once."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading Parquet", package="pyarrow", extra="index") from error
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024, use_threads=False):
                for record in batch.to_pylist():
                    number += 1
                    where = f"{path}, row {number}"
                    try:
                        document = to_document(record, where, f"{name}:{number}", fields)
                    except ReadError as error:
                        skip_row(error)
                    else:
                        yield document
    except (OSError, pa.ArrowException) as error:
        raise read_error(path, error) from error


def prepare() -> None:
    """Import the packages for this format."""
    with suppress(ImportError):
        import pyarrow.parquet  # noqa: F401


LOADER = Loader((".parquet",), load, rows=True, prepare=prepare)
