"""Which metadata becomes a column that a filter can name, and of which type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.metadata import plain
from secondpass.retrieve.store_protocol import Passage

Kind = Literal["text", "integer", "number", "boolean", "date", "datetime"]

PREFIX = "_sp_"
"""The start of every column of ours; no metadata column can start so."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_INT64 = range(-(2**63), 2**63)


def kind_of(value: object) -> Kind | None:
    """Return the type of the column that could hold `value`; None where none could.

    A whole number that needs more than 64 bits counts as a number.
    """
    value = plain(value)
    # bool before int and datetime before date: each is a subclass of the other.
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if value in _INT64 else "number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, datetime):
        return "datetime"
    return "date" if isinstance(value, date) else None


def column_value(value: object, kind: Kind) -> object:
    """Return what the column stores: times in UTC, whole numbers as floats if it is wide."""
    value = plain(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if kind == "number" and isinstance(value, int):
        return _to_float(value)
    return value


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


@dataclass(frozen=True, slots=True)
class Plan:
    """What must change before a batch fits, and the batch's column values.

    `kinds`: all columns, after the change; `new` and `widened`: the changed ones;
    `rows`: for each passage the value of each column that it has.
    """

    kinds: dict[str, Kind]
    new: list[str] = field(default_factory=list)
    widened: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


def plan(columns: Mapping[str, Kind], passages: Iterable[Passage]) -> Plan:
    """Fit the metadata of a batch to the columns that there are.

    Keys that are plain identifiers with scalar values become columns. Names are compared
    without case, as SQL does. A column of integers that meets other numbers is widened.

    Raises InputError where a field has another type than its column, or a document has
    two keys that differ only in case.
    """
    result = Plan(dict(columns))
    names = {name.lower(): name for name in columns}
    batch = list(passages)
    for passage in batch:
        row: dict[str, Any] = {}
        seen = passage.metadata if passage.columns is None else passage.columns
        for key, value in seen.items():
            kind = kind_of(value) if _NAME.fullmatch(key) else None
            if kind is None:
                continue
            name = names.setdefault(key.lower(), key)
            if name in row:
                raise InputError(
                    f"metadata has {key!r} twice",
                    where=f"document {passage.doc_id!r}",
                    why="filters do not tell upper from lower case",
                    fix="Rename one of them.",
                )
            _fit(result, name, kind, passage, value)
            row[name] = value
        result.rows.append(row)
    for row in result.rows:
        for name, value in row.items():
            row[name] = column_value(value, result.kinds[name])
    return result


def _fit(result: Plan, name: str, kind: Kind, passage: Passage, value: object) -> None:
    there = result.kinds.get(name)
    if there is None:
        result.kinds[name] = kind
        result.new.append(name)
    elif there == "integer" and kind == "number":
        result.kinds[name] = "number"
        if name not in result.new:
            result.widened.append(name)
    elif there != kind and (there, kind) != ("number", "integer"):
        raise InputError(
            f"metadata field {name!r} has the wrong type",
            where=f"document {passage.doc_id!r}",
            why=f"expected {there}, as in the documents before, and got {kind}: "
            f"{str(value)[:80]!r}",
            fix="Convert it, or give it another name. Nothing of this batch was stored.",
        )
