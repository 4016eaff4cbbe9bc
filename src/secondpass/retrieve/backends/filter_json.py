"""Filters as the conditions of vector databases and search engines, which have no SQL.

Their NOT also matches documents without the field, and SQL's does not. So NOT is moved to the
comparisons, and each negated one also asks for a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from secondpass.errors import FilterError
from secondpass.retrieve.filter_tree import (
    All,
    AnyOf,
    Comparator,
    Comparison,
    Constant,
    Filter,
    IsNull,
    Like,
    Not,
    OneOf,
    like_parts,
)
from secondpass.retrieve.json_filter import Value

if TYPE_CHECKING:
    from qdrant_client import models as qdrant

T = TypeVar("T")
Leaf = Comparison | OneOf | Like | IsNull
_OPPOSITE: Mapping[Comparator, Comparator] = {
    **{"=": "!=", "!=": "="},
    **{"<": ">=", ">=": "<", ">": "<=", "<=": ">"},
}
_RANGE = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def translate(
    tree: Filter,
    leaf: Callable[[Leaf, bool], T],
    join: Callable[[Literal["and", "or"], list[T]], T],
    *,
    negated: bool = False,
) -> T | bool:
    """Return a filter in an engine's form, or what it is for all documents.

    `leaf` gets each comparison, and whether it is negated (never so for a `Comparison`), and
    returns a condition that holds only where SQL's does; `join` gets two conditions or more.
    """
    match tree:
        case Constant(value):
            return value is not negated
        case Not(part):
            return translate(part, leaf, join, negated=not negated)
        case All(parts) | AnyOf(parts):
            decisive = isinstance(tree, AnyOf) is not negated
            found = list[T]()
            for part in parts:
                translated = translate(part, leaf, join, negated=negated)
                if not isinstance(translated, bool):
                    found.append(translated)
                elif translated is decisive:
                    return decisive
            if len(found) < 2:
                return found[0] if found else not decisive
            return join("or" if decisive else "and", found)
        case Comparison(field, operator, value) if negated:
            return leaf(Comparison(field, _OPPOSITE[operator], value), False)
    return leaf(tree, negated)


def refuse(engine: str, leaf: Leaf, why: str, fix: str | None = None) -> NoReturn:
    """Raise FilterError for a part that the engine has no condition for."""
    match leaf:
        case Comparison(field, operator, value):
            part = f"{field} {operator} {value!r}"
        case Like(field, pattern, ignore_case):
            part = f"{field} {'ILIKE' if ignore_case else 'LIKE'} {pattern!r}"
        case OneOf(field, values):
            part = f"{field} IN {values!r}"
        case IsNull(field):
            part = f"{field} IS NULL"
    raise FilterError(
        f"the filter cannot be translated for {engine}", where=part, why=why, fix=fix
    )


def moment(value: date) -> datetime:
    """Return a date or a time as a time in UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return datetime.combine(value, time.min, UTC)


# --- Elasticsearch and OpenSearch ------------------------------------------------------


def search_query(tree: Filter, fields: Mapping[str, str]) -> dict[str, Any] | bool:
    """Return a filter as a query of Elasticsearch and OpenSearch, for `bool.filter`.

    `fields` maps each field to the one in the index that holds its whole value.
    """

    def leaf(part: Leaf, negated: bool) -> dict[str, Any]:
        field = fields[part.field]
        # Each document has an id, which is in no order there.
        is_id = field == "_id"
        exists: dict[str, Any] = {"match_all": {}} if is_id else {"exists": {"field": field}}
        match part:
            case IsNull():
                return exists if negated else {"bool": {"must_not": [exists]}}
            case OneOf(_, values):
                found: dict[str, Any] = {"terms": {field: [_plain(v) for v in values]}}
            case Like(_, pattern, ignore_case):
                wildcard: dict[str, Any] = {"value": _wildcard(pattern)}
                if ignore_case:
                    wildcard["case_insensitive"] = True
                found = {"wildcard": {field: wildcard}}
            case Comparison(_, "=" | "!=" as operator, value):
                found, negated = {"term": {field: {"value": _plain(value)}}}, operator == "!="
            case Comparison(_, operator, value):
                if is_id:
                    refuse("a search engine", part, "ids are compared by =, != and IN only")
                return {"range": {field: {_RANGE[operator]: _plain(value)}}}
        return {"bool": {"filter": [exists], "must_not": [found]}} if negated else found

    def join(word: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
        if word == "and":
            return {"bool": {"filter": parts}}
        return {"bool": {"should": parts, "minimum_should_match": 1}}

    return translate(tree, leaf, join)


def _plain(value: Value) -> Value:
    """Return a value as JSON; a time is whole, since a missing part would be rounded."""
    if not isinstance(value, date):
        return value
    return moment(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wildcard(pattern: str) -> str:
    return "".join(
        ("\\" + text if text in "*?\\" else text) if literal else {"%": "*", "_": "?"}[text]
        for text, literal in like_parts(pattern)
    )


# --- Chroma ----------------------------------------------------------------------------


def chroma_where(tree: Filter, fields: Mapping[str, str]) -> tuple[dict[str, Any] | bool, bool]:
    """Return a filter as Chroma's `where`, and whether it is the same.

    Chroma cannot ask whether a document has a field. Where a filter needs that, the condition
    also holds for documents that do not pass, and the caller has to look at each.
    """
    exact = True

    def compare(field: str, operator: str, value: object) -> dict[str, Any]:
        return {field: {f"${operator}": value}}

    def equal(field: str, value: Value) -> dict[str, Any]:
        if isinstance(value, bool | str):
            return compare(field, "eq", value)
        # $eq tells 2015 from 2015.0, ranges do not.
        return {"$and": [compare(field, "gte", value), compare(field, "lte", value)]}

    def leaf(part: Leaf, negated: bool) -> dict[str, Any] | bool:
        nonlocal exact
        field = part.field
        match part:
            case IsNull():
                exact = False
                return True
            case Like():
                refuse("Chroma", part, "it has no patterns for metadata")
            case OneOf(_, values):
                pass
            case Comparison(_, "=" | "!=" as operator, value):
                values, negated = (value,), operator == "!="
            case Comparison(_, operator, value):
                if not isinstance(value, int | float) or isinstance(value, bool):
                    refuse("Chroma", part, "it has no order of texts and dates")
                return compare(field, _RANGE[operator], value)
        if not negated:
            found = [equal(field, value) for value in values]
            return found[0] if len(found) == 1 else {"$or": found}
        exact = False
        texts = [value for value in values if isinstance(value, bool | str)]
        return compare(field, "nin", texts) if len(texts) == len(values) else True

    def join(word: str, parts: list[dict[str, Any] | bool]) -> dict[str, Any] | bool:
        if word == "or" and True in parts:
            return True
        kept = [part for part in parts if not isinstance(part, bool)]
        if len(kept) < 2:
            return kept[0] if kept else True
        return {f"${word}": kept}

    return translate(tree, leaf, join), exact


def chroma_document(words: Sequence[str]) -> dict[str, Any]:
    """Return Chroma's condition that a document has one of these words, whole, in any case."""

    def pattern(word: str) -> str:
        # In scripts without spaces words have no ends.
        return rf"(?i)\b{re.escape(word)}\b" if word.isascii() else f"(?i){re.escape(word)}"

    patterns = [{"$regex": pattern(word)} for word in words]
    return patterns[0] if len(patterns) == 1 else {"$or": patterns}


# --- Qdrant ----------------------------------------------------------------------------


def qdrant_filter(tree: Filter, point_id: str) -> qdrant.Filter | bool:
    """Return a filter as Qdrant's; `point_id` is what the id of points is called here."""
    from qdrant_client import models

    def leaf(part: Leaf, negated: bool) -> qdrant.Filter:
        if part.field == point_id:
            return _points(part, negated)
        key = _payload_key(part.field)
        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        match part:
            case IsNull():
                return models.Filter(**{"must_not" if negated else "must": [empty]})
            case Like():
                refuse("Qdrant", part, "it has no patterns with wildcards")
            case OneOf(_, values):
                found = [_equals(key, value) for value in values]
            case Comparison(_, "=" | "!=" as operator, value):
                found, negated = [_equals(key, value)], operator == "!="
            case Comparison(_, operator, value):
                if isinstance(value, str | bool):
                    refuse("Qdrant", part, "it has no order of texts")
                return models.Filter(must=[_within(key, **{_RANGE[operator]: value})])
        if negated:
            return models.Filter(must_not=[*found, empty])
        return models.Filter(should=found)

    def join(word: str, parts: list[qdrant.Filter]) -> qdrant.Filter:
        conditions: list[Any] = list(parts)
        if word == "and":
            return models.Filter(must=conditions)
        return models.Filter(should=conditions)

    return translate(tree, leaf, join)


def _points(part: Leaf, negated: bool) -> qdrant.Filter:
    """Return a condition on the id of points, which each has."""
    from qdrant_client import models

    match part:
        case OneOf(_, values):
            ids: list[Any] = list(values)
        case Comparison(_, "=" | "!=" as operator, value):
            ids, negated = [value], operator == "!="
        case _:
            refuse("Qdrant", part, "ids of points are compared by =, != and IN only")
    has = models.HasIdCondition(has_id=ids)
    return models.Filter(must_not=[has]) if negated else models.Filter(must=[has])


def _payload_key(field: str) -> str:
    """Return the path of a payload field; in quotes, no character of it is an operator."""
    return ".".join(
        name if name.replace("_", "a").isalnum() else f'"{name}"' for name in field.split(".")
    )


def _equals(key: str, value: Value) -> qdrant.FieldCondition:
    from qdrant_client import models

    # Numbers by a range, since MatchValue tells 2015 from 2015.0; but a range is in floats.
    exact = isinstance(value, str | bool) or (isinstance(value, int) and abs(value) >= 2**53)
    if exact:
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    return _within(key, gte=value, lte=value)


def _within(key: str, **limits: Any) -> qdrant.FieldCondition:
    from qdrant_client import models

    if any(isinstance(value, date) for value in limits.values()):
        times = {name: moment(value) for name, value in limits.items()}
        return models.FieldCondition(key=key, range=models.DatetimeRange(**times))
    return models.FieldCondition(key=key, range=models.Range(**limits))


# --- Milvus ----------------------------------------------------------------------------


def milvus_expression(tree: Filter, columns: Sequence[str]) -> str | bool:
    """Return a filter as an expression of Milvus.

    `columns` are the fields of the schema; all others are keys of the dynamic field. Milvus
    Lite has no parameters, so values are literals, in quotes and with escapes.
    """

    def name(field: str) -> str:
        return field if field in columns else f"$meta[{_quoted(field)}]"

    def exists(field: str) -> str:
        return f"{field} is not null" if field in columns else f"exists {name(field)}"

    def literal(part: Leaf, value: Value) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, date):
            refuse("Milvus", part, "dates are not compared there", "Store them as numbers.")
        return _quoted(value) if isinstance(value, str) else repr(value)

    def leaf(part: Leaf, negated: bool) -> str:
        match part:
            case IsNull(field):
                return f"({exists(field)})" if negated else f"(not ({exists(field)}))"
            case OneOf(_, values):
                found = f"{name(part.field)} in [{', '.join(literal(part, v) for v in values)}]"
            case Like(_, pattern, ignore_case):
                if ignore_case:
                    refuse("Milvus", part, "its LIKE minds the case", "Use LIKE.")
                if any(real and text in "%_\\" for text, real in like_parts(pattern)):
                    refuse("Milvus", part, "its LIKE cannot look for %, _ or a backslash")
                found = f"{name(part.field)} like {_quoted(pattern)}"
            case Comparison(_, operator, value):
                sign = "==" if operator == "=" else operator
                found = f"{name(part.field)} {sign} {literal(part, value)}"
        condition = f"not ({found})" if negated else found
        return f"({exists(part.field)} and {condition})"

    def join(word: str, parts: list[str]) -> str:
        return "(" + f" {word} ".join(parts) + ")"

    return translate(tree, leaf, join)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\ufffd"}


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'
