"""Metadata fields of an instance, their index columns, and the filters that name them.

A filter is `{"field": value}` or `{"field": {"$operator": value}}`; all its comparisons must
hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secondpass.errors import nearest
from secondpass.inference.unicode import clean
from secondpass.retrieve.json_filter import (
    OPERATORS,
    Condition,
    Operator,
    parse_operator,
    split_operators,
)
from secondpass.server.cloudflare.responses import parse_iso
from secondpass.server.cloudflare.schemas import CustomField
from secondpass.server.http_errors import invalid

FieldType = Literal["text", "number", "boolean", "datetime", "timestamp"]
ColumnValue = str | int | float | bool
RESERVED_FIELDS = ("timestamp", "folder", "filename")
ITEM_COLUMN = "file_item"
"""The index column with the id of a chunk's item."""
_MAX_TEXT = 500
_MAX_FIELDS = 64
_MAX_VALUES = 1000
# Numbers below this are seconds, as in examples of the service: in milliseconds it is a day
# in 1973, in seconds one after the year 5000.
_SECONDS_BELOW = 100_000_000_000
_PLAIN_NAME = re.compile(r"[a-z0-9_]+")
_NUMBER = re.compile(r"[+-]?(\d++(?:\.\d*+)?|\.\d++)([eE][+-]?\d{1,3})?", re.ASCII)
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass(frozen=True, slots=True)
class Field:
    """A metadata field and the index column that stores it."""

    name: str
    type: FieldType
    column: str


_BUILT_IN_FIELDS = (
    Field("filename", "text", "file_name"),
    Field("folder", "text", "file_folder"),
    Field("timestamp", "timestamp", "file_time"),
)


def filterable_fields(custom: Sequence[CustomField]) -> dict[str, Field]:
    """Return the built-in and custom fields of an instance, by their names in lower case."""
    fields = {field.name: field for field in _BUILT_IN_FIELDS}
    for declared in custom:
        name = declared["field_name"].lower()
        fields[name] = Field(
            name, declared["data_type"], _column_name(declared["data_type"], name)
        )
    return fields


def _column_name(field_type: str, name: str) -> str:
    # With the type in it: a column never changes its type, but a field may.
    if _PLAIN_NAME.fullmatch(name):
        return f"{field_type}_{name}"
    return f"{field_type}x_{name.encode().hex()}"


def find_field(name: str, fields: Mapping[str, Field]) -> Field:
    """Return the field of a filter or a boost, in any case; raises HttpError (400)."""
    field = fields.get(clean(name).lower())
    if field is None:
        raise invalid(
            f"no field {clean(name)[:100]!r} is in the instance's custom_metadata. "
            + nearest(clean(name), fields)
        )
    return field


def index_columns(
    fields: Mapping[str, Field], key: str, timestamp: int, metadata: Mapping[str, Any]
) -> dict[str, ColumnValue]:
    """Return the index columns of a file; `timestamp` is in milliseconds.

    Values that do not fit the type of their field are left out.
    """
    values: dict[str, Any] = {name.lower(): value for name, value in metadata.items()}
    values |= {"filename": key, "folder": folder_of(key), "timestamp": timestamp}
    columns: dict[str, ColumnValue] = {}
    for name, field in fields.items():
        value = to_column_value(field.type, values[name]) if name in values else None
        if value is not None:
            columns[field.column] = value
    return columns


def folder_of(key: str) -> str:
    """Return the folder of a file with its trailing slash; "" at the top level."""
    head, slash, _ = key.rpartition("/")
    return head + slash


def to_column_value(field_type: FieldType, value: Any) -> ColumnValue | None:
    """Return a value as the index stores it, or None if it does not fit the type.

    Numbers and booleans may be written as text; times are ISO 8601, or seconds or
    milliseconds since 1970. A datetime is stored in milliseconds, a timestamp in seconds.
    """
    if field_type == "text":
        return clean(value)[:_MAX_TEXT] if isinstance(value, str) else None
    if field_type == "boolean":
        return _parse_boolean(value)
    if field_type == "number":
        return _parse_number(value)
    milliseconds = _parse_time(value)
    if milliseconds is None:
        return None
    return milliseconds // 1000 if field_type == "timestamp" else milliseconds


def _parse_boolean(value: Any) -> bool | None:
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _parse_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            return None
    elif not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _parse_time(value: Any) -> int | None:
    number = _parse_number(value)
    if number is None:
        milliseconds = parse_iso(value) if isinstance(value, str) else None
    else:
        milliseconds = round(number * 1000 if abs(number) < _SECONDS_BELOW else number)
    in_range = milliseconds is not None and abs(milliseconds) < 2**53
    return milliseconds if in_range else None


def parse_filter(filters: Any, fields: Mapping[str, Field]) -> list[Condition]:
    """Return the conditions of a filter; raises HttpError (400) that names what is invalid."""
    if not isinstance(filters, Mapping):
        raise invalid("filters must be an object")
    if len(filters) > _MAX_FIELDS:
        raise invalid(f"filters name more than {_MAX_FIELDS} fields")
    return [
        condition
        for name, value in filters.items()
        for condition in _parse_field(name, value, fields)
    ]


def _parse_field(name: str, value: Any, fields: Mapping[str, Field]) -> list[Condition]:
    field = find_field(name, fields)
    operators = split_operators(value)
    if not operators:
        raise invalid(f"filters.{name}: there is no operator")
    conditions = []
    for key, operand in operators:
        operator = parse_operator(key)
        if operator is None:
            hint = nearest(key, [f"${known}" for known in OPERATORS])
            raise invalid(f"filters.{name}: there is no operator {key[:50]!r}. {hint}")
        conditions.append(parse_comparison(field, operator, operand))
    return conditions


def parse_comparison(field: Field, operator: Operator, operand: Any) -> Condition:
    """Return the condition of one comparison; raises HttpError (400) for the wrong type."""
    where = f"filters.{field.name}"
    if operator in ("in", "nin"):
        if not isinstance(operand, list):
            raise invalid(f"{where}: ${operator} takes a list")
        if len(operand) > _MAX_VALUES:
            raise invalid(f"{where}: there are more than {_MAX_VALUES} values")
        operands = operand
    else:
        operands = [operand]
    values = tuple(_parse_value(field, value, where) for value in operands)
    is_order = operator in ("lt", "lte", "gt", "gte")
    if is_order and (values[0] is None or field.type == "boolean"):
        message = f"{where}: ${operator} cannot compare {field.type} with {operand!r}"
        raise invalid(message[:300])
    return Condition(field.column, operator, values)


def _parse_value(field: Field, value: Any, where: str) -> ColumnValue | None:
    if value is None:
        return None
    converted = to_column_value(field.type, value)
    if converted is None:
        raise invalid(f"{where} is a {field.type}, and {str(value)[:50]!r} is not")
    return converted
