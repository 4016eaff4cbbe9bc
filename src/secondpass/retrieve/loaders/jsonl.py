"""JSON lines files, gzipped or not: one document a line; also rows of any other kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ReadError, SecondpassError
from secondpass.retrieve.loaders.base import Loader, lines, skip_row, to_document
from secondpass.types import Document

_ARRAY = "Write each object of a list in a line of its own: jq -c '.[]' FILE > FILE.jsonl"


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield each line as a document: BEIR's `_id`, `title`, `text`, or other fields."""
    for number, line in lines(path, skip_row):
        if not line.strip():
            continue
        try:
            document = _document(line, f"{path}, line {number}", f"{name}:{number}", fields)
        except ReadError as error:
            skip_row(error)
        else:
            yield document


def _document(line: str, where: str, name: str, fields: Sequence[str] | None) -> Document:
    record = _parse_object(line, "a line", where, ReadError)
    return to_document(record, where, name, fields)


def _parse_object(
    line: str, what: str, where: str, error_type: type[SecondpassError]
) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = str(error).partition(": line")[0]
        raise error_type(f"{what} is not valid JSON", where=where, why=why) from error
    if not isinstance(values, dict):
        why = f"it is a {type(values).__name__}"
        fix = _ARRAY if isinstance(values, list) else None
        raise error_type(f"{what} is not a JSON object", where=where, why=why, fix=fix)
    return values


LOADER = Loader((".jsonl", ".jsonl.gz"), load, rows=True)


class Row:
    """One object of a file; its methods raise InputError, with the line, for invalid fields."""

    def __init__(self, where: str, values: dict[str, Any]) -> None:
        self.where = where
        self.values = values

    def text(self, name: str) -> str:
        """Return a text that must be present and not blank."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f"{name!r} is {_describe(value)}, and must be text")
        return value

    def optional(self, name: str) -> str:
        """Return a text, or "" if the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(f"{name!r} is {_describe(value)}, and must be text")
        return value

    def name(self, field: str) -> str:
        """Return an identifier: a text, or an integer converted to text."""
        value = self.values.get(field)
        if type(value) is int:
            return str(value)
        return self.text(field)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, none blank; [] if the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(
            isinstance(text, str) and text.strip() for text in value
        ):
            raise self.wrong(f"{name!r} must be a list of texts, none of them empty")
        return value

    def places(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise self.wrong(f"{name!r} must be a list of whole numbers")
        return tuple(value)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Return a list of numbers, or None if the field is absent or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) in (int, float) for item in value):
            raise self.wrong(f"{name!r} must be a list of numbers")
        try:
            return tuple(map(float, value))
        except OverflowError:
            raise self.wrong(f"{name!r} holds a number that is too large") from None

    def wrong(self, why: str, fix: str | None = None) -> InputError:
        """Build the error for this row."""
        return InputError("a row cannot be used", where=self.where, why=why, fix=fix)


def rows(path: Path) -> Iterator[Row]:
    """Yield the objects of a file of JSON lines, gzipped or not; blank lines are skipped.

    Raises InputError for a line that is not a JSON object, ReadError for a file that is
    damaged or not UTF-8.
    """
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        yield Row(where, _parse_object(line, "a row", where, InputError))


def plain_or_gzipped(file: Path) -> Path | None:
    """Return the file, or the same name with `.gz`, whichever exists; None if neither."""
    gzipped = file.with_name(f"{file.name}.gz")
    return next((path for path in (file, gzipped) if path.is_file()), None)


def _describe(value: object) -> str:
    if value is None:
        return "absent"
    return "empty" if isinstance(value, str) else f"a {type(value).__name__}"
