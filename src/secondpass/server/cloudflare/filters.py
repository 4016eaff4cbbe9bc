"""Filters: `{"field": value}` or `{"field": {"$operator": value}}`, all of which must hold.

The metadata that filters and boosts can name: its types, and the columns it is kept in.

What a filter asks for: one comparison after the other, all of which must hold.

Filters of the older interface: comparisons with a type, alone or in one and or one or.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from secondpass.errors import nearest
from secondpass.inference.tokenizer import clean
from secondpass.retrieve.metadata import quoted
from secondpass.server.cloudflare.responses import parse_iso
from secondpass.server.cloudflare.schemas import CustomField
from secondpass.server.http_errors import invalid

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


_MOST_FIELDS = 64
_MOST_VALUES = 1000
_SCALAR = (str, int, float, bool, type(None))


def read_filter(found: Any, fields: Mapping[str, Field]) -> list[Condition]:
    """Return the comparisons of a filter; raises Problem (400), naming what is wrong."""
    if not isinstance(found, Mapping):
        raise invalid("filters must be an object")
    if len(found) > _MOST_FIELDS:
        raise invalid(f"filters name more than {_MOST_FIELDS} fields")
    return [one for name, asked in found.items() for one in _of_field(name, asked, fields)]


def _of_field(name: str, asked: Any, fields: Mapping[str, Field]) -> list[Condition]:
    field = field_named(name, fields)
    if not isinstance(asked, Mapping):
        return [comparison(field, "eq", asked)]
    if not asked:
        raise invalid(f"filters.{name}: there is no operator")
    conditions = []
    for word, value in asked.items():
        operator = word.removeprefix("$")
        if not word.startswith("$") or operator not in OPERATORS:
            known = nearest(word, [f"${o}" for o in OPERATORS])
            raise invalid(f"filters.{name}: there is no operator {word[:50]!r}. {known}")
        conditions.append(comparison(field, cast(Operator, operator), value))
    return conditions


def field_named(name: str, fields: Mapping[str, Field]) -> Field:
    """Return the field that a filter or a boost means; raises Problem (400)."""
    found = fields.get(clean(name).lower())
    if found is None:
        raise invalid(
            f"no field {clean(name)[:100]!r} is in the instance's custom_metadata. "
            + nearest(clean(name), fields)
        )
    return found


def comparison(field: Field, operator: Operator, value: Any) -> Condition:
    """Return one comparison; raises Problem (400) for values of another type."""
    where = f"filters.{field.name}"
    if operator in ("in", "nin"):
        if not isinstance(value, list):
            raise invalid(f"{where}: ${operator} takes a list")
        if len(value) > _MOST_VALUES:
            raise invalid(f"{where}: there are more than {_MOST_VALUES} values")
        given = value
    else:
        given = [value]
    values = tuple(_value(field, one, where) for one in given)
    orders = operator in ("lt", "lte", "gt", "gte")
    if orders and (values[0] is None or field.kind == "boolean"):
        raise invalid(f"{where}: ${operator} cannot compare {field.kind} with {value!r}"[:300])
    return Condition(field.column, operator, values)


def _value(field: Field, value: Any, where: str) -> Value | None:
    if value is None:
        return None
    found = kept(field.kind, value) if isinstance(value, _SCALAR) else None
    if found is None:
        raise invalid(f"{where} is a {field.kind}, and {str(value)[:50]!r} is none")
    return found


_MOST = 64
_COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte")


def read_legacy_filter(found: Any, fields: Mapping[str, Field]) -> list[Condition]:
    """Return the comparisons of a filter; raises Problem (400), naming what is wrong.

    An or takes only equalities of one key, and nothing is nested, as the service has it.
    """
    if not isinstance(found, Mapping):
        raise invalid("filters must be an object")
    kind = found.get("type")
    if kind not in ("and", "or"):
        return [_comparison(found, fields)]
    parts = found.get("filters")
    if not isinstance(parts, list) or not parts or len(parts) > _MOST:
        raise invalid(f"filters.filters must be a list of 1 to {_MOST} comparisons")
    if kind == "and":
        return [_comparison(part, fields) for part in parts]
    return [_any_of(parts, fields)]


def _any_of(parts: Sequence[Any], fields: Mapping[str, Field]) -> Condition:
    conditions = [_comparison(part, fields) for part in parts]
    if any(c.operator != "eq" for c in conditions):
        raise invalid("filters: an or takes only comparisons of type eq")
    if len({c.column for c in conditions}) > 1:
        raise invalid("filters: an or takes only comparisons of one key")
    values = tuple(value for c in conditions for value in c.values)
    return Condition(conditions[0].column, "in", values)


def _comparison(part: Any, fields: Mapping[str, Field]) -> Condition:
    if not isinstance(part, Mapping):
        raise invalid("filters: a comparison must be an object")
    kind, key = part.get("type"), part.get("key")
    if kind in ("and", "or"):
        raise invalid("filters: and and or cannot be nested")
    if kind not in _COMPARISONS:
        raise invalid(f"filters: type must be one of {', '.join(_COMPARISONS)}")
    if not isinstance(key, str):
        raise invalid("filters: key must be a string")
    if "value" not in part:
        raise invalid("filters: value is missing")
    return comparison(field_named(key, fields), kind, part["value"])
