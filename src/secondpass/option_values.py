"""The values of options that are more than one number, text or choice, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.boost_rules import EXAMPLES, FUNCTIONS, parse_boost
from secondpass.errors import InputError, nearest
from secondpass.option_types import Choice, Count, Custom, Number

SPAN_UNITS = ("sentence",)
"""What a span is: the values of `unit`."""

BLENDED = ("rerank", "vector", "bm25", "neighbors")
"""The scores that a blend adds up, which are also the names of their weights."""

RESCORE_WINDOW, RESCORE_WEIGHT = 5, 0.5
"""How many candidates are rescored, and what a standard deviation of that adds at most.

docs/explanation/training-notes.md says how these were chosen.
"""

RESCORE_AUTO, RESCORE_NONE = "auto", "none"
"""Values of `rescore` besides the names of models."""

SPAN_FIELDS: Mapping[str, Number | Count | Choice] = {
    "threshold": Number(minimum=0, maximum=1),
    "max_spans": Count(),
    "unit": Choice(SPAN_UNITS),
    "max_results": Count(),
}
"""The keys of a table of `spans`."""

_NUMBER = {"type": "number", "minimum": 0}


def _rerank_problem(value: object) -> str | None:
    valid = isinstance(value, bool) or (isinstance(value, str) and value != "")
    return None if valid else "it must be true, false or the name of a model"


def _cache_problem(value: object) -> str | None:
    valid = isinstance(value, bool) or (isinstance(value, str) and value != "")
    return None if valid else "it must be true, false, the path of a file or a redis:// URL"


def _weights_problem(value: Any) -> str | None:
    weight = Number(minimum=0)
    valid = isinstance(value, list | tuple) and len(value) == 2
    valid = valid and not any(map(weight.problem, value))
    return None if valid and any(value) else "it must be two numbers from 0 up, not both 0"


def _blend_problem(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    weight = Number(minimum=0)
    if not isinstance(value, dict) or any(map(weight.problem, value.values())):
        return "it must be true, false or a table of numbers from 0 up"
    for name in value:
        if name not in BLENDED:
            return f"There is no score {name!r} to blend. {nearest(name, BLENDED)}"
    return None if any(value.values()) else "At least one weight of a blend must be above 0"


def _boost_problem(value: Any) -> str | None:
    if not isinstance(value, list | tuple):
        return f"it must be a list of boosts, such as {EXAMPLES}"
    for boost in value:
        try:
            parse_boost(boost)
        except InputError as error:
            return str(error)
    return None


def _spans_problem(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, dict):
        return f"it must be true, false or a table of {', '.join(SPAN_FIELDS)}"
    for name, inner in value.items():
        if name not in SPAN_FIELDS:
            return f"Spans have no {name!r}. {nearest(str(name), SPAN_FIELDS)}"
        if name in ("max_spans", "max_results") and inner is None:
            continue
        if problem := SPAN_FIELDS[name].problem(inner):
            return f"{name} is {inner!r}: {problem}"
    return None


RERANK = Custom({"type": ["boolean", "string"]}, _rerank_problem)
"""Whether to rerank, or a model's name."""

CACHE = Custom({"type": ["boolean", "string"]}, _cache_problem)
"""Whether to cache, or where."""

WEIGHTS = Custom(
    {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}, _weights_problem
)
"""The weights of BM25 and vector search."""

BLEND = Custom({"type": ["boolean", "object"], "additionalProperties": _NUMBER}, _blend_problem)
"""Whether to blend, or weights by the names of scores."""

BOOSTS = Custom(
    {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "properties": {
                        "weight": {"type": "number"},
                        "filter": {"type": "string"},
                        "function": {"type": "string", "enum": list(FUNCTIONS)},
                        "field": {"type": "string"},
                        "value": {"type": ["string", "number", "boolean"]},
                        "origin": {"type": ["string", "number", "object"]},
                        "scale": {"type": ["string", "number"]},
                        "offset": {"type": ["string", "number"]},
                        "decay": {"type": "number"},
                    },
                    "required": ["weight"],
                    "additionalProperties": False,
                },
            ]
        },
    },
    _boost_problem,
)
"""Rules, as texts or tables."""

SPANS = Custom(
    {
        "type": ["boolean", "object"],
        "properties": {name: kind.schema for name, kind in SPAN_FIELDS.items()},
        "additionalProperties": False,
    },
    _spans_problem,
)
"""Whether results have spans, or which."""
