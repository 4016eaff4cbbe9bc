"""CSV and TSV files with a header: one document a row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from secondpass.errors import ReadError
from secondpass.retrieve.loaders.base import (
    ID_FIELDS,
    TEXT_FIELDS,
    Loader,
    lines,
    skip_row,
    to_document,
)
from secondpass.types import Document

_CASTS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    # Numbers with leading zeros or very many digits are codes, and stay text.
    (re.compile(r"[+-]?(0|[1-9][0-9]{0,29})"), int),
    (re.compile(r"[+-]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"), float),
    (re.compile("true|false", re.IGNORECASE), lambda cell: cell.lower() == "true"),
)
# What R, pandas and spreadsheets write for a missing value.
_MISSING = frozenset(
    ("na", "n/a", "#n/a", "#n/d", "nan", "-nan", "null", "none", "<na>", "nil", ".", "-", "?")
)
_PANDAS_INDEX = re.compile(r"Unnamed: [0-9]+")
_MAX_CELL = 2**31 - 1
# The csv module's words for a quote without its end, which takes in all rows after it.
_UNCLOSED = "unexpected end of data"
_SEPARATORS = ",;\t|"
_QUOTES = "Put cells that contain the separator in double quotes."
_ROW_NAMES = (
    " If the first column is a name for each row, name it in the header too (in R: write.csv)."
)
_NO_END = (
    "A quote at the beginning of a cell has none at its end: add that, or write the first one "
    "twice and put the cell in quotes."
)
_NO_HEADER = (
    " The first line with text, {first!r}, is taken for the header: delete what stands before "
    "the real one."
)
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


def load(
    path: Path,
    name: str,
    fields: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Iterator[Document]:
    """Yield each row as a document.

    The separator is a comma, semicolon, tab or bar, whichever the header suggests, or that of
    a first line such as `sep=;`. The file is read twice: first to find the columns of only
    integers, numbers or booleans, which are converted. Everything else stays text; empty cells
    are left out of the metadata, and so are those such as `NA` in a column of numbers or
    booleans; empty rows are skipped. A column without a name that is empty or counts the rows,
    as pandas and R write it, is left out; another one is called
    `column_3`, by its position. Where the names are in quotes and each row has a cell more, as
    R writes tables, the first column has no name. A column such as `Body`, `Title` or `ID` is
    `body`, `title` or `id` where none is called so. `kinds` are the types of fields (their
    names in lower case), if they are decided already: cells that have the type are converted
    to it.
    """
    columns = _inspect(path, fields)
    decided = {} if kinds is None else kinds
    for line, row in _rows(path, fields):
        if isinstance(row, ReadError):
            if (row.why or "").startswith(_UNCLOSED):
                raise ReadError(row.what, where=row.where, why=row.why, fix=_NO_END)
            skip_row(row)
            continue
        if line <= columns.header_line or not any(row):
            continue
        try:
            record = columns.record(row, f"{path}, line {line}")
            document = to_document(record, f"{path}, line {line}", f"{name}:{line}", fields)
        except ReadError as error:
            skip_row(error)
            continue
        casts = columns.casts
        typed = {
            n
            for n in document.metadata
            if decided.get(n.lower(), n in casts) not in (False, "text")
        }
        filled = {
            n: cell
            for n, cell in document.metadata.items()
            if cell != "" and not (n in typed and cell.lower() in _MISSING)
        }
        metadata = {
            n: cast_cell(cell, decided[n.lower()])
            if n.lower() in decided
            else (casts[n](cell) if n in casts else cell)
            for n, cell in filled.items()
        }
        yield replace(document, metadata=metadata)


LOADER = Loader((".csv", ".csv.gz", ".tsv", ".tsv.gz"), load, rows=True, version=3)


def cast_cell(cell: str, kind: str | None = None) -> object:
    """Convert a cell to a type, or the first that fits; return it unchanged if none does."""
    allowed = {"text": (), "integer": (0,), "number": (0, 1), "boolean": (2,)}
    for position in (0, 1, 2) if kind is None else allowed.get(kind, ()):
        pattern, cast = _CASTS[position]
        if pattern.fullmatch(cell):
            return cast(cell)
    return cell


def row_lines(path: Path, fields: Sequence[str] | None = None) -> Iterator[int]:
    """Yield the line of each document of a file."""
    numbers = (
        line for line, row in _rows(path, fields) if not isinstance(row, ReadError) and any(row)
    )
    next(numbers, None)
    yield from numbers


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a file: names, conversions, and those that are left out."""

    header_line: int
    names: list[str]
    required: int
    casts: dict[str, Callable[[str], object]]
    redundant: set[str]

    def align(self, row: list[str]) -> list[str] | None:
        """Return a cell for each column, or None if the row does not fit the header.

        Spreadsheets add empty cells at the end of a row, and omit those of unnamed columns.
        """
        width = len(self.names)
        if any(row[width:]) or len(row) < self.required:
            return None
        return row[:width] + [""] * (width - len(row))

    def record(self, row: list[str], where: str) -> dict[str, str]:
        """Return the cells by column; raise ReadError if the row does not fit the header."""
        cells = self.align(row)
        if cells is None:
            raise ReadError(
                "a row has a different number of cells than the header",
                where=where,
                why=f"it has {len(row)}, the header {len(self.names)}",
                fix=_QUOTES + self._advice(row),
            )
        named = zip(self.names, cells, strict=True)
        return {column: cell for column, cell in named if column not in self.redundant}

    def _advice(self, row: list[str]) -> str:
        if len(self.names) == 1:
            return _NO_HEADER.format(first=self.names[0][:60])
        return _ROW_NAMES if len(row) == len(self.names) + 1 else ""


def _inspect(path: Path, fields: Sequence[str] | None, *, row_names: bool = False) -> _Columns:
    names: list[str] = []
    unnamed: set[int] = set()
    header_line = required = 0
    possible: dict[str, set[int]] = {}
    filled: set[str] = set()
    typed: set[str] = set()
    count = shifted = 0
    overflow = False
    # The numbers that a column of row numbers may start from.
    numbered: dict[int, set[int]] = {}
    for line, row in _rows(path, fields):
        if isinstance(row, ReadError):
            if not names:
                raise row
            count += 1
            continue
        if not any(row):
            continue
        if not names:
            header_line = line
            header = ["", *row] if row_names else row
            names, unnamed = _name_columns(header, path, line, fields)
            required = 1 + max((i for i in range(len(names)) if i not in unnamed), default=-1)
            possible = {name: set(range(len(_CASTS))) for name in names}
            numbered = {position: {0, 1} for position in unnamed}
            continue
        shifted += len(row) == len(names) + 1
        if any(row[len(names) :]) or len(row) < required:
            # It is skipped, and must not decide what the columns hold.
            overflow = overflow or len(row) > len(names)
            count += 1
            continue
        for position, (name, cell) in enumerate(zip(names, row, strict=False)):
            if position in unnamed:
                starts = numbered[position]
                numbered[position] = {n for n in starts if cell == str(n + count)}
            if cell != "":
                filled.add(name)
            if cell != "" and cell.lower() not in _MISSING:
                typed.add(name)
                fitting = {k for k in possible[name] if _CASTS[k][0].fullmatch(cell)}
                possible[name] = fitting
        count += 1
    if overflow and shifted == count and _is_quoted(path, header_line, len(names)):
        return _inspect(path, fields, row_names=True)
    casts = {
        name: _CASTS[min(kinds)][1]
        for name, kinds in possible.items()
        if kinds and name in typed
    }
    redundant = {names[p] for p in unnamed if numbered[p] or names[p] not in filled}
    return _Columns(header_line, names, required, casts, redundant)


def _is_quoted(path: Path, header_line: int, count: int) -> bool:
    """Return whether each name of the header is in quotes.

    A program that puts all in quotes leaves no separator outside of them.
    """
    header = next((text.strip() for n, text in lines(path) if n == header_line), "")
    return header.startswith('"') and header.endswith('"') and header.count('"') == 2 * count


def _name_columns(
    row: list[str], path: Path, line: int, fields: Sequence[str] | None
) -> tuple[list[str], set[int]]:
    """Return the names of the columns, and the positions of those without one."""
    header = [name.strip() for name in row]
    unnamed = {
        position
        for position, name in enumerate(header)
        if not name or _PANDAS_INDEX.fullmatch(name)
    }
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise ReadError(
            "the header cannot be used",
            where=f"{path}, line {line}",
            why=f"the column name {repeated[0]!r} occurs twice",
            fix="Rename one of the columns.",
        )
    for known in ("title",), ID_FIELDS, TEXT_FIELDS if fields is None else ():
        lowered = [name.lower() if name not in (fields or ()) else name for name in header]
        best = next((name for name in known if name in lowered), None)
        if best is not None and not set(known).intersection(header):
            header[lowered.index(best)] = best
    for position in (p for p in unnamed if not header[p]):
        name = f"column_{position + 1}"
        while name in header:
            name += "_"
        header[position] = name
    return header, unnamed


def _rows(
    path: Path, fields: Sequence[str] | None
) -> Iterator[tuple[int, list[str] | ReadError]]:
    """Yield (number of the last line, cells or error) of each row, the header included."""
    # The default limit of 131,072 characters is less than a document may have.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    base = path.with_suffix("") if path.suffix == ".gz" else path
    default = "\t" if base.suffix.lower() == ".tsv" else ","
    texts: Iterator[str] = (line for _, line in lines(path))
    skipped = 0
    first = next(texts, "")
    while first and not first.strip():
        skipped += 1
        first = next(texts, "")
    if "\r" in first.rstrip("\r\n"):
        # Lines of an old Mac end with that alone.
        pieces = (piece for text in chain([first], texts) for piece in _split_returns(text))
        first, texts = next(pieces), pieces
    declared = _SEP_LINE.fullmatch(first.rstrip("\r\n"))
    if declared is not None:
        skipped += 1
        separator = declared[1]
    else:
        separator = _detect_separator(first, default, fields)
        texts = chain([first], texts)
    reader = csv.reader(texts, delimiter=separator, strict=True)
    while True:
        start = reader.line_num + skipped + 1
        row: list[str] | ReadError
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            end = reader.line_num + skipped
            place = f"line {end}" if start >= end else f"lines {start} to {end}"
            row = ReadError("not a row of CSV", where=f"{path}, {place}", why=str(error))
        yield reader.line_num + skipped, row


def _split_returns(text: str) -> Iterator[str]:
    return iter(io.StringIO(text, newline=""))


def _detect_separator(header: str, default: str, fields: Sequence[str] | None) -> str:
    """Return the separator that splits a header into the most known, then the most, names."""
    known = {*ID_FIELDS, "title", *(TEXT_FIELDS if fields is None else fields)}

    def quality(separator: str) -> tuple[int, int, bool]:
        names = _header_fields(header, separator)
        lowered = [] if fields else [name.lower() for name in names]
        return len(known.intersection([*names, *lowered])), len(names), separator == default

    return max(_SEPARATORS, key=quality)


def _header_fields(header: str, separator: str) -> list[str]:
    try:
        return [n.strip() for n in next(csv.reader([header], delimiter=separator), [])]
    except csv.Error:
        return []
