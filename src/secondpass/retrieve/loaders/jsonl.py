"""JSON lines, gzipped or not: one document a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from secondpass.errors import ReadError
from secondpass.retrieve.loaders.base import from_record, lines
from secondpass.types import Document


def read(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Give each line as a document: BEIR's `_id`, `title`, `text`, or free fields."""
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = str(error).partition(": line")[0]
            raise ReadError("not a line of JSON", where=where, why=why) from error
        if not isinstance(record, dict):
            raise ReadError(
                "a line is not an object", where=where, why=f"it is a {type(record).__name__}"
            )
        yield from_record(record, where, f"{name}:{number}", fields)
