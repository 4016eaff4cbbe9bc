"""Filters of the older interface: comparisons with a type, alone or in one and or one or."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.server.cloudflare.conditions import Condition
from secondpass.server.cloudflare.fields import Field
from secondpass.server.cloudflare.filters import comparison, field_named
from secondpass.server.http_errors import invalid

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
