"""Filters of gRPC as those of the other ways to ask."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import Problem
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.filters import TIMES
from secondpass.server.weaviate.grpc.messages import Filters
from secondpass.server.weaviate.names import property_name
from secondpass.server.weaviate.responses import refused
from secondpass.server.weaviate.where import GROUPS, MOST_LEVELS

_VALUES = {"text": "valueText", "int": "valueInt", "boolean": "valueBoolean"}
_VALUES |= {"number": "valueNumber"}


def where_of(filters: Any, definition: ClassDefinition) -> dict[str, Any]:
    """Return a filter as JSON has it, which is checked by whoever reads it.

    gRPC has no dates, and its clients send whole numbers for numbers, and numbers as texts:
    the property's type decides. Raises Problem (422).
    """
    return _where(filters, definition, MOST_LEVELS)


def _where(filters: Any, definition: ClassDefinition, levels: int) -> dict[str, Any]:
    if not levels:
        raise refused(f"filters are nested deeper than {MOST_LEVELS}")
    operator = _operator(filters.operator)
    if operator in GROUPS:
        parts = [_where(one, definition, levels - 1) for one in filters.filters]
        return {"operator": operator, "operands": parts}
    path = [filters.target.property] if filters.HasField("target") else list(filters.on)
    found = {"operator": operator, "path": path}
    key = filters.WhichOneof("test_value")
    if not path:
        raise refused(f"filters: {operator} needs a property")
    if key is None:
        raise refused(f"filters: {operator} on {path!r:.80} needs a value")
    value = getattr(filters, key)
    values = list(value.values) if key.endswith("_array") else value
    type_ = key.removeprefix("value_").removesuffix("_array")
    kind = _kind(path, definition) if operator != "IsNull" else None
    if kind in ("int", "number") and type_ == "text":
        values, type_ = _numbers(values), "number"
    if kind == "date" and type_ == "text":
        return {**found, "valueDate": values}
    if kind == "number" and type_ in ("int", "number"):
        return {**found, "valueNumber": values}
    if kind == "int" and type_ == "number":
        return {**found, "valueInt": _whole(values)}
    if path[0] in TIMES and type_ == "text" and not _digits(values):
        return {**found, "valueDate": values}
    return {**found, _VALUES[type_]: values}


def _operator(number: int) -> str:
    try:
        name = Filters.Operator.Name(number)
    except ValueError:
        raise refused(f"filters: operator {number} is not known") from None
    return "".join(part.title() for part in name.removeprefix("OPERATOR_").split("_"))


def _kind(path: list[str], definition: ClassDefinition) -> str | None:
    try:
        return definition.property(property_name(path[0])).kind
    except Problem:
        # Ids, times, and what is no property: whoever reads the filter knows more.
        return None


def _digits(values: Any) -> bool:
    return all(one.isdecimal() for one in (values if isinstance(values, list) else [values]))


def _numbers(values: Any) -> Any:
    if isinstance(values, list):
        return [_numbers(one) for one in values]
    try:
        return float(values)
    except ValueError:
        raise refused(f"filters: {values!r:.80} is not a number") from None


def _whole(values: Any) -> Any:
    if isinstance(values, list):
        return [_whole(one) for one in values]
    return int(values) if values.is_integer() else values
