"""Filters: `{"field": value}` or `{"field": {"$operator": value}}`, all of which must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from secondpass.errors import nearest
from secondpass.inference.unicode import clean
from secondpass.server.cloudflare.conditions import OPERATORS, Condition, Operator
from secondpass.server.cloudflare.fields import Field, Value, kept
from secondpass.server.http_errors import invalid

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
