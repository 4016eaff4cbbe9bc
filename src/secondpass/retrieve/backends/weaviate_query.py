"""Parts of Weaviate's GraphQL: texts, conditions, and which vectors can be searched."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from secondpass.retrieve.backends.filter_json import Leaf, moment, translate
from secondpass.retrieve.filter_tree import Comparator, Comparison, Filter, OneOf
from secondpass.retrieve.json_filter import Value

UNNAMED = "(the unnamed vector)"
_COSINES = ("cosine", "dot", "l2-squared")
_WEAVIATE = {"=": "Equal", "<": "LessThan", "<=": "LessThanEqual"}
_WEAVIATE |= {">": "GreaterThan", ">=": "GreaterThanEqual"}
_WEAVIATE_VALUES = {
    **{"text": "valueText", "uuid": "valueText", "int": "valueInt", "number": "valueNumber"},
    **{"boolean": "valueBoolean", "date": "valueDate"},
}


def weaviate_where(tree: Filter, types: Mapping[str, str]) -> tuple[str | bool, bool]:
    """Return a filter as GraphQL's `where`, and whether it is the same.

    `types` are those of the properties that hold their whole value. Texts that are cut into
    words, NULL, patterns and negations differ there from SQL, or need an index that a
    collection may lack: there the condition holds for more, and the caller looks at each.
    """
    exact = True

    def compare(field: str, operator: Comparator, value: Value) -> str | bool:
        nonlocal exact
        kind = "uuid" if field == "id" else types.get(field)
        if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(value, date):
            value = moment(value).isoformat().replace("+00:00", "Z")
        fits = {"int": int, "number": float, "boolean": bool}.get(kind or "", str)
        ordered = operator == "=" or kind in ("int", "number", "date")
        if kind == "uuid" and isinstance(value, str):
            try:
                value = str(UUID(value))
            except ValueError:
                return False
        text = kind == "text" and not str(value).strip()
        whole = type(value) is fits and not (fits is int and abs(int(value)) >= 2**53)
        whole = whole and not (isinstance(value, float) and not math.isfinite(value))
        if kind not in _WEAVIATE_VALUES or not whole or not ordered or text:
            exact = False
            return True
        exact = exact and kind != "text"
        literal = json.dumps(value, ensure_ascii=False)
        return (
            f"{{path: [{json.dumps(field)}], operator: {_WEAVIATE[operator]}, "
            f"{_WEAVIATE_VALUES[kind]}: {literal}}}"
        )

    def leaf(part: Leaf, negated: bool) -> str | bool:
        nonlocal exact
        match part:
            case Comparison(field, operator, value) if operator != "=" and operator != "!=":
                return compare(field, operator, value)
            case Comparison(field, "=", value):
                return compare(field, "=", value)
            case OneOf(field, values) if not negated:
                found = [compare(field, "=", value) for value in values]
                kept = [condition for condition in found if isinstance(condition, str)]
                if True in found or len(kept) < 2:
                    return True in found or (kept[0] if kept else False)
                return join("or", kept)
        exact = False
        return True

    def join(word: str, parts: Sequence[str | bool]) -> str | bool:
        kept = ", ".join(str(part) for part in parts)
        return f"{{operator: {word.title()}, operands: [{kept}]}}"

    return translate(tree, leaf, join), exact


def vector_spaces(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the distance of each vector that has one which can be made a cosine."""
    named = definition.get("vectorConfig") or {UNNAMED: definition}
    spaces = {
        name: (vector.get("vectorIndexConfig") or {}).get("distance", "cosine")
        for name, vector in named.items()
    }
    return {name: space for name, space in spaces.items() if space in _COSINES}


def quoted(text: str) -> str:
    """Return a text of GraphQL, in which only control characters are escaped."""
    return json.dumps(text, ensure_ascii=False)
