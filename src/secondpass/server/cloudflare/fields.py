"""The metadata that filters and boosts can name: its types, and the columns it is kept in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secondpass.inference.unicode import clean
from secondpass.server.cloudflare.schemas import CustomField
from secondpass.server.cloudflare.times import parse_iso

Kind = Literal["text", "number", "boolean", "datetime", "timestamp"]
Value = str | float | bool | int
RESERVED = ("timestamp", "folder", "filename")
ITEM = "file_item"
"""The column that says of which item a chunk is."""
_LONGEST_TEXT = 500
# Moments below this are seconds, as the examples of the service also have them: in
# milliseconds it is a day in 1973, in seconds one after the year 5000.
_SECONDS_BELOW = 100_000_000_000
_PLAIN = re.compile(r"[a-z0-9_]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `column` is where the index keeps it."""

    name: str
    kind: Kind
    column: str


_BUILT_IN = (
    Field("filename", "text", "file_name"),
    Field("folder", "text", "file_folder"),
    Field("timestamp", "timestamp", "file_time"),
)


def fields_of(custom: Sequence[CustomField]) -> dict[str, Field]:
    """Return all fields of an instance, by their names in lower case."""
    found = {field.name: field for field in _BUILT_IN}
    for one in custom:
        name = one["field_name"].lower()
        found[name] = Field(name, one["data_type"], _column(one["data_type"], name))
    return found


def _column(kind: str, name: str) -> str:
    # The type is part of it: a column keeps its type for good, a field may change its own.
    if _PLAIN.fullmatch(name):
        return f"{kind}_{name}"
    return f"{kind}x_{name.encode().hex()}"


def kept(kind: Kind, value: Any) -> Value | None:
    """Return a value as the index keeps it, or None for one that does not fit the type.

    Numbers and booleans may be written as texts; moments are ISO 8601, or seconds or
    milliseconds since 1970. A datetime is kept in milliseconds, a timestamp in seconds.
    """
    if kind == "text":
        return clean(value)[:_LONGEST_TEXT] if isinstance(value, str) else None
    if kind == "boolean":
        return _boolean(value)
    if kind == "number":
        return _number(value)
    moment = _moment(value)
    if moment is None:
        return None
    return moment // 1000 if kind == "timestamp" else moment


def _boolean(value: Any) -> bool | None:
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            return None
    elif not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _moment(value: Any) -> int | None:
    number = _number(value)
    if number is None:
        found = parse_iso(value) if isinstance(value, str) else None
    else:
        found = round(number * 1000 if abs(number) < _SECONDS_BELOW else number)
    return found if found is not None and abs(found) < 2**53 else None


def folder_of(key: str) -> str:
    """Return the folder of a file, with a slash at its end; "" for one that is in none."""
    head, slash, _ = key.rpartition("/")
    return head + slash


def columns(
    fields: Mapping[str, Field], key: str, timestamp: int, given: Mapping[str, Any]
) -> dict[str, Value]:
    """Return what the index keeps of a file; `timestamp` is in milliseconds."""
    known: dict[str, Any] = {name.lower(): value for name, value in given.items()}
    known |= {"filename": key, "folder": folder_of(key), "timestamp": timestamp}
    found: dict[str, Value] = {}
    for name, field in fields.items():
        value = kept(field.kind, known[name]) if name in known else None
        if value is not None:
            found[field.column] = value
    return found
