"""Chunks of files with certain metadata stand higher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secondpass.server.cloudflare.fields import Field, Value
from secondpass.server.cloudflare.filters import field_named
from secondpass.server.cloudflare.schemas import BoostRule
from secondpass.server.http_errors import invalid

_MOST = 0.1
"""What a field adds to a score from 0 to 1 at most: some ten ranks of a fused list."""
_ORDERED = ("number", "datetime", "timestamp")


def check_boosts(rules: Sequence[BoostRule], fields: Mapping[str, Field]) -> None:
    """Raise Problem (400) for fields that are not known, stand twice or have no order."""
    seen = set()
    for rule in rules:
        if "field" not in rule:
            raise invalid("boost_by: field is missing")
        field = field_named(rule["field"], fields)
        if field.name in ("filename", "folder"):
            raise invalid(f"boost_by: {field.name} cannot be boosted by")
        if field.name in seen:
            raise invalid(f"boost_by: {field.name} stands there twice")
        if rule.get("direction") in ("asc", "desc") and field.kind not in _ORDERED:
            raise invalid(f"boost_by: {field.name} is a {field.kind}, which has no order")
        seen.add(field.name)


def boosted(
    scores: Sequence[float],
    rows: Sequence[Mapping[str, Value]],
    rules: Sequence[BoostRule],
    fields: Mapping[str, Field],
) -> list[float]:
    """Return the scores, from 0 to 1, with what the fields of each chunk's file add.

    For asc and desc that is by where a value stands between the lowest and the highest of
    all; files without the field, and values that are all alike, add nothing. The service
    does not say how much it adds.
    """
    if not rules:
        return list(scores)
    totals = list(scores)
    for rule in rules:
        field = field_named(rule["field"], fields)
        for i, share in enumerate(_shares(field, rule, rows)):
            totals[i] += _MOST * share
    # Scaled, not cut off at 1, so that what was in order stays so.
    return [min(1.0, total / (1 + _MOST * len(rules))) for total in totals]


def _shares(field: Field, rule: BoostRule, rows: Sequence[Mapping[str, Value]]) -> list[float]:
    ordered = field.kind in _ORDERED
    direction = rule.get("direction", "asc" if ordered else "exists")
    values = [row.get(field.column) for row in rows]
    if direction in ("exists", "not_exists"):
        wanted = direction == "exists"
        return [float((value is not None) is wanted) for value in values]
    numbers = [None if v is None else float(v) for v in values]
    there = [n for n in numbers if n is not None]
    low, high = (min(there), max(there)) if there else (0.0, 0.0)
    # Halved first: two huge numbers of both signs must not overflow.
    span = high / 2 - low / 2
    if span == 0:
        return [0.0] * len(values)
    up = [None if n is None else (n / 2 - low / 2) / span for n in numbers]
    return [0.0 if u is None else u if direction == "desc" else 1 - u for u in up]
