"""Score boosts by metadata fields (`boost_by`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secondpass.rerank.boost_values import scale_to_unit
from secondpass.server.cloudflare.filters import ColumnValue, Field, find_field
from secondpass.server.cloudflare.schemas import BoostRule
from secondpass.server.http_errors import invalid

_MAX_BOOST = 0.1
"""The most that a field adds to a score from 0 to 1: some ten ranks of a fused list."""
_ORDERED_TYPES = ("number", "datetime", "timestamp")


def check_boosts(rules: Sequence[BoostRule], fields: Mapping[str, Field]) -> None:
    """Raise HttpError (400) for fields that are unknown, repeated or have no order."""
    names = set()
    for rule in rules:
        if "field" not in rule:
            raise invalid("boost_by: field is missing")
        field = find_field(rule["field"], fields)
        if field.name in ("filename", "folder"):
            raise invalid(f"boost_by: {field.name} cannot be boosted by")
        if field.name in names:
            raise invalid(f"boost_by: {field.name} is given twice")
        if rule.get("direction") in ("asc", "desc") and field.type not in _ORDERED_TYPES:
            raise invalid(f"boost_by: {field.name} is a {field.type}, which has no order")
        names.add(field.name)


def boost_scores(
    scores: Sequence[float],
    rows: Sequence[Mapping[str, ColumnValue]],
    rules: Sequence[BoostRule],
    fields: Mapping[str, Field],
) -> list[float]:
    """Return scores from 0 to 1 with the boosts of each chunk's index columns, in `rows`.

    For asc and desc a boost depends on where a value lies between the minimum and the maximum
    of all rows; a missing field, and values that are all equal, add nothing. How much
    Cloudflare adds is not documented.
    """
    if not rules:
        return list(scores)
    totals = list(scores)
    for rule in rules:
        field = find_field(rule["field"], fields)
        for i, weight in enumerate(_boost_weights(field, rule, rows)):
            totals[i] += _MAX_BOOST * weight
    # Scaled, not clipped at 1, so that the order stays.
    return [min(1.0, total / (1 + _MAX_BOOST * len(rules))) for total in totals]


def _boost_weights(
    field: Field, rule: BoostRule, rows: Sequence[Mapping[str, ColumnValue]]
) -> list[float]:
    """Return the weight of a rule for each row, 0 to 1."""
    ordered = field.type in _ORDERED_TYPES
    direction = rule.get("direction", "asc" if ordered else "exists")
    values = [row.get(field.column) for row in rows]
    if direction in ("exists", "not_exists"):
        return [float((value is not None) is (direction == "exists")) for value in values]
    sign = 1 if direction == "desc" else -1
    return scale_to_unit([None if value is None else sign * float(value) for value in values])
