"""Metadata filters of tool calls, translated to SQL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from secondpass.errors import FilterError, nearest
from secondpass.inference.tokenizer import clean
from secondpass.retrieve.json_filter import (
    Condition,
    Operator,
    Value,
    parse_operator,
    split_operators,
    to_sql,
)

_OPERATORS: tuple[Operator, ...] = ("eq", "ne", "gt", "gte", "lt", "lte")


def filter_condition(
    filters: Mapping[str, Any] | None, fields: Mapping[str, str]
) -> str | None:
    """Return the SQL condition that every field has its value, or one of a list of values.

    A value may also be an object with operators, as in `{"year": {"$gte": 2015}}`. `fields`
    maps the fields of the index to their types. Raises FilterError for an unknown field or
    operator, and for a value of another type.
    """
    columns = {name.lower(): name for name in fields}
    conditions: list[Condition] = []
    for name, value in (filters or {}).items():
        column = columns.get(name.lower())
        if column is None:
            raise FilterError(
                f"no document has {clean(name)!r} as metadata that can be filtered on",
                fix=nearest(name, fields),
            )
        conditions += _parse_field(column, fields[column], value)
    return to_sql(conditions, fields)


def _parse_field(column: str, kind: str, value: Any) -> list[Condition]:
    if isinstance(value, list):
        values = tuple(_parse_value(column, kind, element) for element in value)
        return [Condition(column, "in", values)]
    return [_compare(column, kind, key, operand) for key, operand in split_operators(value)]


def _compare(column: str, kind: str, key: str, operand: Any) -> Condition:
    operator = parse_operator(key, _OPERATORS)
    if operator is None:
        raise FilterError(
            f"there is no operator {clean(key)!r}",
            where=column,
            fix=nearest(key, [f"${known}" for known in _OPERATORS]),
        )
    value = _parse_value(column, kind, operand)
    if operator == "ne":
        # As in SQL, a document without the field does not match.
        return Condition(column, "nin", (value, None))
    return Condition(column, operator, (value,))


def _parse_value(column: str, kind: str, value: Any) -> Value:
    if kind == "text" and isinstance(value, str):
        return clean(value)
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind in ("integer", "number") and _is_finite_number(value):
        return float(value) if isinstance(value, float) else int(value)
    if kind in ("date", "datetime") and isinstance(value, str):
        moment = _parse_date(kind, value)
        if moment is not None:
            return moment
    raise FilterError(
        f"the value {clean(str(value))[:80]!r} does not fit",
        where=column,
        why=f"its type is {kind}",
        fix="Dates are written as 2024-12-31, times as 2024-12-31T23:59:59.",
    )


def _is_finite_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _parse_date(kind: str, value: str) -> date | None:
    try:
        if kind == "date":
            return date.fromisoformat(value)
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
