"""Filters that an agent can write: fields with values, as an SQL condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from secondpass.errors import FilterError, nearest
from secondpass.inference.tokenizer import clean
from secondpass.retrieve.metadata import quoted

_OPERATORS = {
    "$eq": "=",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
}


def condition(filters: Mapping[str, Any] | None, fields: Mapping[str, str]) -> str | None:
    """Return the condition that all fields have their value, or one of a list of values.

    A value may also be an object with operators, as in `{"year": {"$gte": 2015}}`. `fields`
    are those of the index, with their types. Raises FilterError for other fields, operators
    and types of values.
    """
    columns = {name.lower(): name for name in fields}
    parts = []
    for name, wanted in (filters or {}).items():
        column = columns.get(name.lower())
        if column is None:
            raise FilterError(
                f"no document has {clean(name)!r} as metadata that can be filtered on",
                fix=nearest(name, fields),
            )
        parts += _of_field(column, fields[column], wanted)
    return " AND ".join(parts) if parts else None


def _of_field(column: str, kind: str, wanted: Any) -> list[str]:
    # Within backticks no name is taken for a word of SQL.
    named = f"`{column}`"
    if isinstance(wanted, list):
        values = ", ".join(_literal(column, kind, value) for value in wanted)
        return [f"{named} IN ({values})" if values else "false"]
    if not isinstance(wanted, Mapping):
        return [f"{named} = {_literal(column, kind, wanted)}"]
    found = []
    for operator, value in wanted.items():
        if operator not in _OPERATORS:
            raise FilterError(
                f"there is no operator {clean(operator)!r}",
                where=column,
                fix=nearest(operator, _OPERATORS),
            )
        found.append(f"{named} {_OPERATORS[operator]} {_literal(column, kind, value)}")
    return found


def _literal(column: str, kind: str, value: Any) -> str:
    if kind == "text" and isinstance(value, str):
        return quoted(clean(value))
    if kind == "boolean" and isinstance(value, bool):
        return str(value).lower()
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in ("integer", "number") and number and math.isfinite(value):
        return repr(value)
    if kind in ("date", "datetime") and isinstance(value, str):
        made = _time(kind, value)
        if made is not None:
            return made
    raise FilterError(
        f"the value {clean(str(value))[:80]!r} does not fit",
        where=column,
        why=f"its type is {kind}",
        fix="Dates are written as 2024-12-31, times as 2024-12-31T23:59:59.",
    )


def _time(kind: str, value: str) -> str | None:
    try:
        if kind == "date":
            return f"date {quoted(date.fromisoformat(value).isoformat())}"
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    if when.tzinfo is not None:
        when = when.astimezone(UTC).replace(tzinfo=None)
    return f"timestamp {quoted(when.isoformat(sep=' '))}"
