"""What a filter asks for: one comparison after the other, all of which must hold."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from secondpass.retrieve.filters import quoted
from secondpass.server.cloudflare.fields import Value

Operator = Literal["eq", "ne", "in", "nin", "lt", "lte", "gt", "gte"]
OPERATORS: tuple[Operator, ...] = ("eq", "ne", "in", "nin", "lt", "lte", "gt", "gte")
_SIGNS: Mapping[Operator, str] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a column with values, of which all operators but in and nin have one.

    None stands for a file that does not have the field. What is not equal includes such
    files; no file without the field is above or below anything.
    """

    column: str
    operator: Operator
    values: tuple[Value | None, ...]


def sql(conditions: Sequence[Condition], columns: Container[str]) -> str | None:
    """Return the SQL condition, or None where there is nothing to ask for.

    A column that the index does not have yet is one that no file has.
    """
    parts = [_sql(c, c.column in columns) for c in conditions]
    return " AND ".join(f"({part})" for part in parts) if parts else None


def holds(conditions: Sequence[Condition], row: Mapping[str, Value]) -> bool:
    """Return whether a file with these columns passes."""
    return all(_holds(c, row.get(c.column)) for c in conditions)


def _sql(condition: Condition, known: bool) -> str:
    column, operator = condition.column, condition.operator
    some = [_literal(v) for v in condition.values if v is not None]
    with_none = len(some) < len(condition.values)
    if not known:
        return "true" if _holds(condition, None) else "false"
    if operator in _SIGNS:
        return f"{column} {_SIGNS[operator]} {some[0]}"
    among = f"{column} IN ({', '.join(some)})" if some else "false"
    if operator in ("eq", "in"):
        return f"{among} OR {column} IS NULL" if with_none else among
    if with_none:
        return f"{column} IS NOT NULL AND NOT ({among})"
    return f"{column} IS NULL OR NOT ({among})"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else repr(value)


def _holds(condition: Condition, value: Value | None) -> bool:
    operator, values = condition.operator, condition.values
    if operator in ("eq", "in"):
        return value in values
    if operator in ("ne", "nin"):
        return value not in values
    other = values[0]
    if value is None or other is None or isinstance(value, str) != isinstance(other, str):
        return False
    below, same = value < other, value == other  # type: ignore[operator]
    if operator in ("lt", "lte"):
        return below or (same and operator == "lte")
    return (same and operator == "gte") if (below or same) else True
