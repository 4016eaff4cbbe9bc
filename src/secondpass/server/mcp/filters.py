"""Metadata filters that an agent writes as JSON, as an SQL condition."""

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


def filter_condition(
    filters: Mapping[str, Any] | None, fields: Mapping[str, str]
) -> str | None:
    """Return the condition that all fields have their value, or one of a list of values.

    A value may also be an object with operators, as in `{"year": {"$gte": 2015}}`. `fields`
    are those of the index, with their types. Raises FilterError for other fields, operators
    and types of values.
    """
    columns = {name.lower(): name for name in fields}
    conditions = []
    for name, value in (filters or {}).items():
        column = columns.get(name.lower())
        if column is None:
            raise FilterError(
                f"no document has {clean(name)!r} as metadata that can be filtered on",
                fix=nearest(name, fields),
            )
        conditions += _field_conditions(column, fields[column], value)
    return " AND ".join(conditions) if conditions else None


def _field_conditions(column: str, kind: str, value: Any) -> list[str]:
    # In backticks no name is taken for an SQL keyword.
    name = f"`{column}`"
    if isinstance(value, list):
        literals = ", ".join(_literal(column, kind, one) for one in value)
        return [f"{name} IN ({literals})" if literals else "false"]
    if not isinstance(value, Mapping):
        return [f"{name} = {_literal(column, kind, value)}"]
    conditions = []
    for operator, operand in value.items():
        if operator not in _OPERATORS:
            raise FilterError(
                f"there is no operator {clean(operator)!r}",
                where=column,
                fix=nearest(operator, _OPERATORS),
            )
        conditions.append(f"{name} {_OPERATORS[operator]} {_literal(column, kind, operand)}")
    return conditions


def _literal(column: str, kind: str, value: Any) -> str:
    if kind == "text" and isinstance(value, str):
        return quoted(clean(value))
    if kind == "boolean" and isinstance(value, bool):
        return str(value).lower()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in ("integer", "number") and is_number and math.isfinite(value):
        return repr(value)
    if kind in ("date", "datetime") and isinstance(value, str):
        literal = _time_literal(kind, value)
        if literal is not None:
            return literal
    raise FilterError(
        f"the value {clean(str(value))[:80]!r} does not fit",
        where=column,
        why=f"its type is {kind}",
        fix="Dates are written as 2024-12-31, times as 2024-12-31T23:59:59.",
    )


def _time_literal(kind: str, value: str) -> str | None:
    try:
        if kind == "date":
            return f"date {quoted(date.fromisoformat(value).isoformat())}"
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return f"timestamp {quoted(moment.isoformat(sep=' '))}"
