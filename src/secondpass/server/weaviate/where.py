"""Filters as clients write them: read and checked, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.server.weaviate.responses import refused

GROUPS = ("And", "Or", "Not")
COMPARISONS = ("GreaterThan", "GreaterThanEqual", "LessThan", "LessThanEqual")
LISTS = ("ContainsAny", "ContainsAll", "ContainsNone")
OPERATORS = (*GROUPS, "Equal", "NotEqual", *COMPARISONS, "Like", "IsNull", *LISTS)

_KINDS: Mapping[str, tuple[type, ...]] = {
    "valueText": (str,),
    "valueString": (str,),
    "valueDate": (str,),
    "valueInt": (int,),
    "valueNumber": (int, float),
    "valueBoolean": (bool,),
}
VALUES = tuple(_KINDS)
# The SQL parser gives up at some 50 brackets, and each level here takes up to three.
MOST_LEVELS = 10
MOST_CONDITIONS = 1000
MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Condition:
    """What one property must hold: an operator and values of one type.

    `type` is the key of the values, such as "valueText".
    """

    operator: str
    path: str
    type: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Several filters that must all hold ("And"), of which one must ("Or"), or not ("Not")."""

    operator: str
    parts: tuple[Condition | Group, ...]


Where = Condition | Group


def read_where(given: Any) -> Where:
    """Return a filter; raises Problem (422) for what is none, too deep or too long."""
    found, count = _read(given, MOST_LEVELS)
    if count > MOST_CONDITIONS:
        raise refused(f"where has more than {MOST_CONDITIONS} conditions")
    return found


def _read(given: Any, levels: int) -> tuple[Where, int]:
    if not isinstance(given, dict):
        raise refused("where must be an object")
    if not levels:
        raise refused(f"where is nested deeper than {MOST_LEVELS}")
    operator = given.get("operator")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise refused(f"where: operator {operator!r:.80} is none of {', '.join(OPERATORS)}")
    if operator not in GROUPS:
        return _condition(operator, given), 1
    operands = given.get("operands")
    if not isinstance(operands, list) or not operands:
        raise refused(f"where: {operator} needs operands")
    if operator == "Not" and len(operands) != 1:
        raise refused("where: Not takes one operand")
    read = [_read(one, levels - 1) for one in operands]
    return Group(operator, tuple(part for part, _ in read)), sum(n for _, n in read)


def _condition(operator: str, given: Mapping[str, Any]) -> Condition:
    path = given.get("path")
    path = [path] if isinstance(path, str) else path
    if not isinstance(path, list) or not path or not all(isinstance(p, str) for p in path):
        raise refused(f"where: {operator} needs a path")
    if len(path) > 1:
        raise refused(f"where: the path {path!r:.80} follows a reference: not supported here")
    # Only REST has the longer names of lists.
    said = {
        key.removesuffix("Array"): value
        for key, value in given.items()
        if key.startswith("value") and value is not None
    }
    if len(said) != 1:
        raise refused(f"where: {operator} on '{path[0]}' needs one value, not {len(said)}")
    ((key, value),) = said.items()
    if key not in _KINDS:
        raise refused(f"where: {key!r:.80} is not supported here")
    values = value if isinstance(value, list) else [value]
    for one in values:
        right = isinstance(one, _KINDS[key]) and isinstance(one, bool) == (
            key == "valueBoolean"
        )
        if not right:
            raise refused(f"where: {key} on '{path[0]}' is of another type: {one!r:.80}")
    if operator not in LISTS and len(values) != 1:
        raise refused(f"where: {operator} on '{path[0]}' takes one value")
    if operator in LISTS and not 0 < len(values) <= MOST_VALUES:
        raise refused(f"where: {operator} on '{path[0]}' takes 1 to {MOST_VALUES} values")
    return Condition(operator, path[0], key, tuple(values))
