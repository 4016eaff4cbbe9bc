"""Filters evaluated in plain Python, one object at a time: what the SQL must agree with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

KINDS: Mapping[str, str] = {
    "title": "text",
    "label": "text",
    "spaced": "text",
    "small": "text",
    "tags": "text[]",
    "year": "int",
    "price": "number",
    "sold": "boolean",
    "day": "date",
    "code": "uuid",
    "sizes": "int[]",
    "rates": "number[]",
}
TOKENIZATION = {"title": "word", "label": "field", "spaced": "whitespace", "small": "lowercase"}
TOKENIZATION["tags"] = "word"


def matches(where: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    operator = where["operator"]
    if operator in ("And", "Or", "Not"):
        parts = [matches(one, values) for one in where["operands"]]
        return {"And": all(parts), "Or": any(parts), "Not": not parts[0]}[operator]
    (name,) = where["path"]
    (operand,) = (value for key, value in where.items() if key.startswith("value"))
    value = values.get(name)
    if operator == "IsNull":
        return bool((value is None) == operand)
    if operator == "NotEqual":
        return not _holds("Equal", name, value, operand)
    if operator == "ContainsNone":
        return not any(_holds("Equal", name, value, one) for one in operand)
    if operator == "ContainsAny":
        return any(_holds("Equal", name, value, one) for one in operand)
    if operator == "ContainsAll":
        return all(_holds("Equal", name, value, one) for one in operand)
    return _holds(operator, name, value, operand)


def _holds(operator: str, name: str, value: Any, operand: Any) -> bool:
    if value is None:
        return False
    if KINDS[name].startswith("text"):
        have = {t for one in _listed(value) for t in _tokens(one, TOKENIZATION[name])}
        want = _tokens(operand, TOKENIZATION[name], pattern=operator == "Like")
        if not want:
            return not have
        if operator == "Like":
            return all(any(_like(w, h) for h in have) for w in want)
        return have.issuperset(want)
    if KINDS[name].endswith("[]"):
        return operand in value
    if KINDS[name] == "date":
        value, operand = _moment(value), _moment(operand)
    if KINDS[name] == "uuid":
        operand = operand.lower()
    return bool(
        {
            "Equal": lambda: value == operand,
            "GreaterThan": lambda: value > operand,
            "GreaterThanEqual": lambda: value >= operand,
            "LessThan": lambda: value < operand,
            "LessThanEqual": lambda: value <= operand,
        }[operator]()
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tokens(text: str, tokenization: str, *, pattern: bool = False) -> list[str]:
    if tokenization == "field":
        return [text.strip().replace("\x1f", " ")] if text.strip() else []
    if tokenization == "whitespace":
        return text.split()
    if tokenization == "lowercase":
        return text.lower().split()
    wildcards = "*?" if pattern else ""
    return "".join(c if c.isalnum() or c in wildcards else " " for c in text).lower().split()


def _like(pattern: str, token: str) -> bool:
    wild = {"*": ".*", "?": "."}
    found = "".join(wild.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(found, token, re.DOTALL) is not None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
