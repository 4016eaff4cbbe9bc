"""Where filters: parsed from JSON, and translated to SQL over the columns of a class."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance.schema import DOC
from secondpass.retrieve.metadata import quoted
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.names import parse_property_name, parse_uuid
from secondpass.server.weaviate.objects import CREATED, UPDATED
from secondpass.server.weaviate.properties import (
    TOKEN_SEPARATOR,
    Property,
    parse_rfc3339,
    tokenize_pattern,
)

LOGICAL_OPERATORS = ("And", "Or", "Not")
COMPARISONS = ("GreaterThan", "GreaterThanEqual", "LessThan", "LessThanEqual")
LIST_OPERATORS = ("ContainsAny", "ContainsAll", "ContainsNone")
OPERATORS = (
    *LOGICAL_OPERATORS,
    "Equal",
    "NotEqual",
    *COMPARISONS,
    "Like",
    "IsNull",
    *LIST_OPERATORS,
)
# The SQL parser gives up at some 50 parentheses, and each level here takes up to three.
MAX_DEPTH = 10
MAX_CONDITIONS = 1000
MAX_VALUES = 10_000

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "valueText": (str,),
    "valueString": (str,),
    "valueDate": (str,),
    "valueInt": (int,),
    "valueNumber": (int, float),
    "valueBoolean": (bool,),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one property: an operator and values of one type.

    `type` is the key of the values, such as "valueText".
    """

    operator: str
    path: str
    type: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Filters combined by "And" or "Or", or one negated by "Not"."""

    operator: str
    parts: tuple[Condition | Group, ...]


Where = Condition | Group


def parse_where(body: Any) -> Where:
    """Parse a filter; raises HttpError (422) for one not valid, too deep or too long."""
    where, count = _parse(body, MAX_DEPTH)
    if count > MAX_CONDITIONS:
        raise unprocessable(f"where has more than {MAX_CONDITIONS} conditions")
    return where


def _parse(body: Any, levels: int) -> tuple[Where, int]:
    """Return a filter and its number of conditions."""
    if not isinstance(body, dict):
        raise unprocessable("where must be an object")
    if not levels:
        raise unprocessable(f"where is nested deeper than {MAX_DEPTH}")
    operator = body.get("operator")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise unprocessable(
            f"where: operator {operator!r:.80} is none of {', '.join(OPERATORS)}"
        )
    if operator not in LOGICAL_OPERATORS:
        return _parse_condition(operator, body), 1
    operands = body.get("operands")
    if not isinstance(operands, list) or not operands:
        raise unprocessable(f"where: {operator} needs operands")
    if operator == "Not" and len(operands) != 1:
        raise unprocessable("where: Not takes one operand")
    parsed = [_parse(operand, levels - 1) for operand in operands]
    return Group(operator, tuple(part for part, _ in parsed)), sum(n for _, n in parsed)


def _parse_condition(operator: str, body: Mapping[str, Any]) -> Condition:
    path = body.get("path")
    path = [path] if isinstance(path, str) else path
    if not isinstance(path, list) or not path or not all(isinstance(p, str) for p in path):
        raise unprocessable(f"where: {operator} needs a path")
    if len(path) > 1:
        raise unprocessable(
            f"where: the path {path!r:.80} follows a reference: not supported here"
        )
    # Only REST has the longer names of lists, such as valueTextArray.
    values_by_key = {
        key.removesuffix("Array"): value
        for key, value in body.items()
        if key.startswith("value") and value is not None
    }
    if len(values_by_key) != 1:
        count = len(values_by_key)
        raise unprocessable(f"where: {operator} on '{path[0]}' needs one value, not {count}")
    ((key, value),) = values_by_key.items()
    if key not in _PYTHON_TYPES:
        raise unprocessable(f"where: {key!r:.80} is not supported here")
    values = value if isinstance(value, list) else [value]
    for item in values:
        # bool is a subclass of int.
        is_bool = isinstance(item, bool)
        if not isinstance(item, _PYTHON_TYPES[key]) or is_bool != (key == "valueBoolean"):
            raise unprocessable(f"where: {key} on '{path[0]}' is of another type: {item!r:.80}")
    if operator not in LIST_OPERATORS and len(values) != 1:
        raise unprocessable(f"where: {operator} on '{path[0]}' takes one value")
    if operator in LIST_OPERATORS and not 0 < len(values) <= MAX_VALUES:
        raise unprocessable(f"where: {operator} on '{path[0]}' takes 1 to {MAX_VALUES} values")
    return Condition(operator, path[0], key, tuple(values))


TIME_COLUMNS = {"_creationTimeUnix": CREATED, "_lastUpdateTimeUnix": UPDATED}
"""The columns of an object's timestamps, by their names in filters."""
_SQL_OPERATORS = {
    "Equal": "=",
    "GreaterThan": ">",
    "GreaterThanEqual": ">=",
    "LessThan": "<",
    "LessThanEqual": "<=",
}
_VALUE_KEYS = {
    "text": ("valueText", "valueString"),
    "uuid": ("valueText", "valueString"),
    "int": ("valueInt",),
    "number": ("valueNumber",),
    "boolean": ("valueBoolean",),
    "date": ("valueDate",),
}
_REGEX_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~]")


def to_sql(where: Where, definition: ClassDefinition, columns: Collection[str]) -> str:
    """Translate a filter to SQL; `columns` are the columns that the index has.

    An object without the property fails every condition, and passes its negation. Raises
    HttpError (422) for unknown properties and for values of another type.
    """
    return _Translator(definition, columns).translate(where, negate=False)


class _Translator:
    """Translates one filter; counts the words of its texts, which are bounded."""

    def __init__(self, definition: ClassDefinition, columns: Collection[str]) -> None:
        self.definition, self.columns = definition, columns
        self._words_left = MAX_CONDITIONS

    def translate(self, where: Where, *, negate: bool) -> str:
        if isinstance(where, Group):
            # Negations are pushed down to the conditions, where they need no parentheses.
            negate = negate != (where.operator == "Not")
            parts = [self.translate(part, negate=negate) for part in where.parts]
            return _combine("OR" if (where.operator == "Or") != negate else "AND", parts)
        positive = {"NotEqual": "Equal", "ContainsNone": "ContainsAny"}
        operator = positive.get(where.operator, where.operator)
        sql = self._condition(where, operator)
        negate = negate != (operator != where.operator)
        return f"NOT coalesce({sql}, false)" if negate else f"coalesce({sql}, false)"

    def _condition(self, where: Condition, operator: str) -> str:
        if where.path in ("id", "_id"):
            _check_type(where, "uuid", "id")
            ids = [quoted(parse_uuid(value)) for value in where.values]
            return _compare(DOC, operator, ids, where, ordered=False)
        if where.path in TIME_COLUMNS:
            times = _milliseconds(where)
            return _compare(TIME_COLUMNS[where.path], operator, times, where, ordered=True)
        property_ = self.definition.property(parse_property_name(where.path))
        if property_.column is None:
            raise unprocessable(
                f"where: '{property_.name}' is of type {property_.data_type}, which cannot be "
                "filtered"
            )
        column, exists = f"`{property_.column}`", property_.column in self.columns
        if operator == "IsNull":
            _check_type(where, "boolean", property_.name)
            if not exists:
                return "true" if where.values[0] else "false"
            return f"{column} IS {'' if where.values[0] else 'NOT '}NULL"
        _check_type(where, property_.kind, property_.name)
        if property_.tokenized:
            sql = self._match_tokens(column, operator, where, property_)
        else:
            literals = [_literal(property_, value) for value in where.values]
            ordered = property_.kind in ("int", "number", "date")
            sql = _compare(column, operator, literals, where, ordered=ordered)
        # After all checks: whether a filter is valid does not depend on what is stored.
        return sql if exists else "false"

    def _match_tokens(
        self, column: str, operator: str, where: Condition, property_: Property
    ) -> str:
        if operator == "Like" and property_.kind == "text":
            assert property_.tokenization is not None
            pattern = tokenize_pattern(clean(where.values[0]), property_.tokenization)
            return self._match_all(column, pattern, _like)
        if operator != "Equal" and operator not in LIST_OPERATORS:
            raise unprocessable(f"where: {where.operator} is not possible on '{where.path}'")
        parts = [
            self._match_all(column, property_.tokenize(_normalize(property_, value)), _contains)
            for value in where.values
        ]
        return _combine("OR" if operator == "ContainsAny" else "AND", parts)

    def _match_all(
        self, column: str, tokens: Sequence[str], match: Callable[[str, str], str]
    ) -> str:
        if not tokens:
            # A text without words equals another text without words.
            return f"{column} = {quoted(TOKEN_SEPARATOR)}"
        self._words_left -= len(tokens)
        if self._words_left < 0:
            raise unprocessable(f"where has more than {MAX_CONDITIONS} words")
        return _combine("AND", [match(column, token) for token in dict.fromkeys(tokens)])


def _compare(
    column: str, operator: str, literals: Sequence[str], where: Condition, *, ordered: bool
) -> str:
    if operator == "ContainsAny":
        return f"{column} IN ({', '.join(literals)})"
    if operator == "ContainsAll":
        return _combine("AND", [f"{column} = {literal}" for literal in literals])
    if operator not in _SQL_OPERATORS or (operator in COMPARISONS and not ordered):
        raise unprocessable(f"where: {where.operator} is not possible on '{where.path}'")
    return f"{column} {_SQL_OPERATORS[operator]} {literals[0]}"


def _contains(column: str, token: str) -> str:
    return f"contains({column}, {quoted(TOKEN_SEPARATOR + token + TOKEN_SEPARATOR)})"


def _like(column: str, token: str) -> str:
    if "*" not in token and "?" not in token:
        # DataFusion rewrites such a pattern to LIKE, and loses its backslashes.
        return _contains(column, token)
    wildcards = {"*": f"[^{TOKEN_SEPARATOR}]*", "?": f"[^{TOKEN_SEPARATOR}]"}
    pattern = "".join(wildcards.get(c, _REGEX_SPECIAL.sub(r"\\\g<0>", c)) for c in token)
    return f"regexp_like({column}, {quoted(TOKEN_SEPARATOR + pattern + TOKEN_SEPARATOR)})"


def _normalize(property_: Property, value: Any) -> Any:
    if property_.kind == "uuid":
        return parse_uuid(value)
    if property_.kind == "date":
        _since_1970(value)
    return clean(value) if property_.kind == "text" else value


def _literal(property_: Property, value: Any) -> str:
    if property_.kind == "uuid":
        return quoted(parse_uuid(value))
    if property_.kind == "date":
        # A SQL timestamp literal only reaches from 1677 to 2262.
        return f"to_timestamp_micros({_since_1970(value) // timedelta(microseconds=1)})"
    if property_.kind == "boolean":
        return "true" if value else "false"
    return _integer(value) if property_.kind == "int" else _number(value)


def _integer(value: int) -> str:
    if not -(2**63) <= value < 2**63:
        raise unprocessable(f"where: {value!r:.80} is not an integer of 64 bits")
    # SQL reads -2**63 as the negation of 2**63, which has 65 bits and becomes a float.
    return str(value) if value > -(2**63) else f"({value + 1} - 1)"


def _number(value: float) -> str:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise unprocessable(f"where: {value!r:.80} is not a finite number")
    return repr(number)


def _since_1970(value: str) -> timedelta:
    try:
        return parse_rfc3339(value) - datetime(1970, 1, 1)
    except ValueError as error:
        raise unprocessable(f"where: {error}") from error


def _milliseconds(where: Condition) -> list[str]:
    if where.type == "valueDate":
        return [str(_since_1970(v) // timedelta(milliseconds=1)) for v in where.values]
    if where.type == "valueInt":
        return [_integer(value) for value in where.values]
    values = [str(value).strip() for value in where.values]
    if not all(re.fullmatch(r"-?\d{1,18}", value, re.ASCII) for value in values):
        raise unprocessable(
            f"where: '{where.path}' is compared with milliseconds or with a date"
        )
    return [str(int(value)) for value in values]


def _check_type(where: Condition, kind: str, name: str) -> None:
    if where.type not in _VALUE_KEYS[kind]:
        expected = _VALUE_KEYS[kind][0]
        raise unprocessable(
            f"data type filter cannot use {where.type!r} on {name!r} of type {kind!r}, "
            f"use {expected!r} instead"
        )


def _combine(operator: str, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({f' {operator} '.join(parts)})"
