"""CSV and TSV files with a header: one document a row."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from secondpass.errors import ReadError
from secondpass.retrieve.loaders.base import Loader, lines, to_document
from secondpass.types import Document

_CASTS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    # Numbers with leading zeros or very many digits are codes, and stay text.
    (re.compile(r"[+-]?(0|[1-9][0-9]{0,29})"), int),
    (re.compile(r"[+-]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"), float),
    (re.compile("true|false", re.IGNORECASE), lambda cell: cell.lower() == "true"),
)
_MAX_CELL = 2**31 - 1


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield each row as a document.

    The file is read twice: first to find the columns of only integers, numbers or booleans,
    which are converted. Everything else stays text; empty cells are left out of the metadata,
    and empty rows are skipped.
    """
    header, casts = _infer_types(path)
    for line, row in _rows(path):
        if line == 1 or not any(row):
            continue
        where = f"{path}, line {line}"
        if len(row) != len(header):
            raise ReadError(
                "a row has a different number of cells than the header",
                where=where,
                why=f"it has {len(row)}, the header {len(header)}",
            )
        record = dict(zip(header, row, strict=True))
        document = to_document(record, where, f"{name}:{line}", fields)
        cells = {name: cell for name, cell in document.metadata.items() if cell != ""}
        metadata = {n: casts[n](cell) if n in casts else cell for n, cell in cells.items()}
        yield replace(document, metadata=metadata)


LOADER = Loader((".csv", ".csv.gz", ".tsv", ".tsv.gz"), load, rows=True)


def _infer_types(path: Path) -> tuple[list[str], dict[str, Callable[[str], object]]]:
    header: list[str] = []
    possible: dict[str, set[int]] = {}
    filled: set[str] = set()
    for line, row in _rows(path):
        if line == 1:
            header = [name.strip() for name in row]
            if len(set(header)) != len(header) or not all(header):
                raise ReadError(
                    "the header cannot be used",
                    where=f"{path}, line 1",
                    why="a column name is empty or occurs twice",
                )
            possible = {name: set(range(len(_CASTS))) for name in header}
            continue
        for name, cell in zip(header, row, strict=False):
            if cell != "":
                filled.add(name)
                fitting = {k for k in possible[name] if _CASTS[k][0].fullmatch(cell)}
                possible[name] = fitting
    return header, {
        name: _CASTS[min(kinds)][1]
        for name, kinds in possible.items()
        if kinds and name in filled
    }


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    base = path.with_suffix("") if path.suffix == ".gz" else path
    delimiter = "\t" if base.suffix.lower() == ".tsv" else ","
    # The default limit of 131,072 characters is less than a document may have.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    reader = csv.reader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate(reader):
            yield 1 if number == 0 else max(2, reader.line_num), row
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise ReadError("not a row of CSV", where=where, why=str(error)) from error
