"""Filters as SQL over the columns of a class.

Filters as clients write them: read and checked, before anything is made of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from secondpass.inference.tokenizer import clean
from secondpass.retrieve.backends.lance.schema import ID
from secondpass.retrieve.metadata import quoted
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.names import object_id, property_name
from secondpass.server.weaviate.objects import CREATED, UPDATED
from secondpass.server.weaviate.properties import BETWEEN, Property, moment, pattern_tokens
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


_SIGNS = {
    "Equal": "=",
    "GreaterThan": ">",
    "GreaterThanEqual": ">=",
    "LessThan": "<",
    "LessThanEqual": "<=",
}
_VALUES = {
    "text": ("valueText", "valueString"),
    "uuid": ("valueText", "valueString"),
    "int": ("valueInt",),
    "number": ("valueNumber",),
    "boolean": ("valueBoolean",),
    "date": ("valueDate",),
}
TIMES = {"_creationTimeUnix": CREATED, "_lastUpdateTimeUnix": UPDATED}
"""The columns of the times of an object, by the names that filters have for them."""
_META = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~]")


def to_sql(where: Where, definition: ClassDefinition, columns: Collection[str]) -> str:
    """Return the condition of a filter; `columns` are those that the index has.

    Properties that an object lacks fail every condition, and pass its negation. Raises
    Problem (422) for properties and types that do not fit.
    """
    return _Translation(definition, columns).sql(where, True)


class _Translation:
    def __init__(self, definition: ClassDefinition, columns: Collection[str]) -> None:
        self.definition, self.columns = definition, columns
        self._words = MOST_CONDITIONS

    def sql(self, where: Where, wanted: bool) -> str:
        if isinstance(where, Group):
            # Negations move to the leaves, so that they take no brackets.
            wanted = wanted != (where.operator == "Not")
            parts = [self.sql(part, wanted) for part in where.parts]
            return _joined("AND" if (where.operator == "Or") != wanted else "OR", parts)
        negative = {"NotEqual": "Equal", "ContainsNone": "ContainsAny"}
        operator = negative.get(where.operator, where.operator)
        found = self._leaf(where, operator)
        same = wanted == (operator == where.operator)
        return f"coalesce({found}, false)" if same else f"NOT coalesce({found}, false)"

    def _leaf(self, where: Condition, operator: str) -> str:
        if where.path in ("id", "_id"):
            _check_type(where, "uuid", "id")
            ids = [quoted(object_id(value)) for value in where.values]
            return _scalar(ID, operator, ids, where, ordered=False)
        if where.path in TIMES:
            column, times = TIMES[where.path], _milliseconds(where)
            return _scalar(column, operator, times, where, ordered=True)
        one = self.definition.property(property_name(where.path))
        if one.column is None:
            raise refused(f"where: '{one.name}' is of type {one.data_type}, without a filter")
        column, there = f"`{one.column}`", one.column in self.columns
        if operator == "IsNull":
            _check_type(where, "boolean", one.name)
            if not there:
                return "true" if where.values[0] else "false"
            return f"{column} IS {'' if where.values[0] else 'NOT '}NULL"
        _check_type(where, one.kind, one.name)
        if one.tokenized:
            found = self._tokenized(column, operator, where, one)
        else:
            literals = [_literal(one, value) for value in where.values]
            ordered = one.kind in ("int", "number", "date")
            found = _scalar(column, operator, literals, where, ordered=ordered)
        # After all checks: a filter is right or wrong whatever is stored.
        return found if there else "false"

    def _tokenized(self, column: str, operator: str, where: Condition, one: Property) -> str:
        if operator == "Like" and one.kind == "text":
            assert one.tokenization is not None
            asked = pattern_tokens(clean(where.values[0]), one.tokenization)
            return self._all(column, asked, _like)
        if operator != "Equal" and operator not in LISTS:
            raise refused(f"where: {where.operator} is not possible on '{where.path}'")
        whole = [self._all(column, one.tokens(_value(one, v)), _contains) for v in where.values]
        return _joined("OR" if operator == "ContainsAny" else "AND", whole)

    def _all(self, column: str, asked: Sequence[str], test: Callable[[str, str], str]) -> str:
        if not asked:
            # Nothing but marks equals nothing but marks.
            return f"{column} = {quoted(BETWEEN)}"
        self._words -= len(asked)
        if self._words < 0:
            raise refused(f"where has more than {MOST_CONDITIONS} words")
        return _joined("AND", [test(column, token) for token in dict.fromkeys(asked)])


def _scalar(
    column: str, operator: str, literals: Sequence[str], where: Condition, *, ordered: bool
) -> str:
    if operator == "ContainsAny":
        return f"{column} IN ({', '.join(literals)})"
    if operator == "ContainsAll":
        return _joined("AND", [f"{column} = {literal}" for literal in literals])
    if operator not in _SIGNS or (operator in COMPARISONS and not ordered):
        raise refused(f"where: {where.operator} is not possible on '{where.path}'")
    return f"{column} {_SIGNS[operator]} {literals[0]}"


def _contains(column: str, token: str) -> str:
    return f"contains({column}, {quoted(BETWEEN + token + BETWEEN)})"


def _like(column: str, token: str) -> str:
    if "*" not in token and "?" not in token:
        # The engine makes a LIKE of such a pattern, and loses its backslashes.
        return _contains(column, token)
    wild = {"*": f"[^{BETWEEN}]*", "?": f"[^{BETWEEN}]"}
    pattern = "".join(wild.get(c, _META.sub(r"\\\g<0>", c)) for c in token)
    return f"regexp_like({column}, {quoted(BETWEEN + pattern + BETWEEN)})"


def _value(one: Property, value: Any) -> Any:
    if one.kind == "uuid":
        return object_id(value)
    if one.kind == "date":
        _since_1970(value)
    return clean(value) if one.kind == "text" else value


def _literal(one: Property, value: Any) -> str:
    if one.kind == "uuid":
        return quoted(object_id(value))
    if one.kind == "date":
        # A literal of SQL would only reach from 1677 to 2262.
        return f"to_timestamp_micros({_since_1970(value) // timedelta(microseconds=1)})"
    if one.kind == "boolean":
        return "true" if value else "false"
    return _integer(value) if one.kind == "int" else _number(value)


def _integer(value: int) -> str:
    if not -(2**63) <= value < 2**63:
        raise refused(f"where: {value!r:.80} is not an integer of 64 bits")
    # Its digits alone would be an integer of 65 bits, and so a float.
    return str(value) if value > -(2**63) else f"({value + 1} - 1)"


def _number(value: float) -> str:
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise refused(f"where: {value!r:.80} is not a finite number")
    return repr(found)


def _since_1970(value: str) -> timedelta:
    try:
        return moment(value) - datetime(1970, 1, 1)
    except ValueError as error:
        raise refused(f"where: {error}") from error


def _milliseconds(where: Condition) -> list[str]:
    if where.type == "valueDate":
        return [str(_since_1970(v) // timedelta(milliseconds=1)) for v in where.values]
    if where.type == "valueInt":
        return [_integer(value) for value in where.values]
    values = [str(value).strip() for value in where.values]
    if not all(re.fullmatch(r"-?\d{1,18}", value, re.ASCII) for value in values):
        raise refused(f"where: '{where.path}' is compared with milliseconds or with a date")
    return [str(int(value)) for value in values]


def _check_type(where: Condition, kind: str, name: str) -> None:
    if where.type not in _VALUES[kind]:
        right = _VALUES[kind][0]
        raise refused(
            f"data type filter cannot use {where.type!r} on {name!r} of type {kind!r}, "
            f"use {right!r} instead"
        )


def _joined(word: str, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({f' {word} '.join(parts)})"
