"""JSON metadata filters (`$eq`, `$in`, `$gte`, ...): conditions, their evaluation, their SQL.

Shared by the interfaces whose clients send filters such as `{"year": {"$gte": 2015}}`. Each
of them resolves field names, checks values and words its own errors.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from secondpass.retrieve.metadata import quoted

Operator = Literal["eq", "ne", "in", "nin", "lt", "lte", "gt", "gte"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
Value = str | int | float | bool | date
"""A scalar that a column can hold; a `datetime` is a `date`. Times without a zone are UTC."""
_SYMBOLS: Mapping[Operator, str] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of one column with values, several for `in` and `nin` and else one.

    None among the values stands for a missing field. `ne` and `nin` match documents without
    the field unless None is among the values; `lt`, `lte`, `gt` and `gte` never match them.
    """

    column: str
    operator: Operator
    values: tuple[Value | None, ...]


def split_operators(value: Any) -> list[tuple[str, Any]]:
    """Return the (operator key, operand) pairs of a field; a plain value means `$eq`."""
    return list(value.items()) if isinstance(value, Mapping) else [("$eq", value)]


def parse_operator(key: str, allowed: Sequence[Operator] = OPERATORS) -> Operator | None:
    """Return the operator of a key such as "$gte", or None if it is not an allowed one."""
    return next((operator for operator in allowed if key == f"${operator}"), None)


def to_sql(conditions: Sequence[Condition], columns: Container[str]) -> str | None:
    """Return the SQL condition that all `conditions` hold; None if there are none.

    A column outside `columns`, those of the store, counts as missing from every document.
    """
    parts = [_to_sql(c, c.column in columns) for c in conditions]
    return " AND ".join(f"({part})" for part in parts) if parts else None


def matches(conditions: Sequence[Condition], row: Mapping[str, Value]) -> bool:
    """Return whether all `conditions` hold for a document with these column values."""
    return all(_matches(c, row.get(c.column)) for c in conditions)


def _to_sql(condition: Condition, known: bool) -> str:
    if not known:
        return "true" if _matches(condition, None) else "false"
    # In backticks no column name is read as an SQL keyword.
    column, operator = f"`{condition.column.replace('`', '``')}`", condition.operator
    literals = [literal(value) for value in condition.values if value is not None]
    with_none = len(literals) < len(condition.values)
    if operator in _SYMBOLS:
        return f"{column} {_SYMBOLS[operator]} {literals[0]}" if literals else "false"
    is_in = f"{column} IN ({', '.join(literals)})" if literals else "false"
    if operator in ("eq", "in"):
        return f"{is_in} OR {column} IS NULL" if with_none else is_in
    if with_none:
        return f"{column} IS NOT NULL AND NOT ({is_in})"
    return f"{column} IS NULL OR NOT ({is_in})"


def literal(value: Value) -> str:
    """Return a value as SQL of DataFusion has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"timestamp {quoted(_utc(value).isoformat(sep=' '))}"
    if isinstance(value, date):
        return f"date {quoted(value.isoformat())}"
    return quoted(value) if isinstance(value, str) else repr(value)


def _matches(condition: Condition, value: Value | None) -> bool:
    operator = condition.operator
    value, operands = _comparable(value), [_comparable(v) for v in condition.values]
    if operator in ("eq", "in"):
        return value in operands
    if operator in ("ne", "nin"):
        return value not in operands
    operand = operands[0]
    if _type(value) is not _type(operand) or value is None or operand is None:
        return False
    less, equal = value < operand, value == operand  # type: ignore[operator]
    if operator in ("lt", "lte"):
        return less or (equal and operator == "lte")
    return (equal and operator == "gte") if (less or equal) else True


def _type(value: Value | None) -> type:
    """Return the type within which values have an order."""
    return float if isinstance(value, int | float) else type(value)


def _comparable(value: Value | None) -> Value | None:
    return _utc(value) if isinstance(value, datetime) else value


def _utc(moment: datetime) -> datetime:
    """Return a time in UTC, without its zone."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
