"""Values of boost rules: for each document, how far a rule holds, from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Real
from typing import Any

from secondpass.boost_rules import BoostRule, Decay, parse_moment, parse_place
from secondpass.errors import InputError, nearest
from secondpass.rerank.scoring_options import field_text
from secondpass.types import Document, is_missing

Matches = Callable[[str, Sequence[Document]], Sequence[bool]]
"""Returns for a filter and documents which of them pass it."""

_EARTH_RADIUS = 6_371_008.8
"""In meters, the mean of the earth's."""


@dataclass(frozen=True, slots=True)
class BoostValues:
    """How far one rule holds for each document, 0 to 1, in their order.

    `unread` counts documents that have a value which the rule cannot use; like a missing one,
    it holds 0.
    """

    values: Sequence[float]
    unread: int = 0


def evaluate_rule(
    rule: BoostRule,
    documents: Sequence[Document],
    *,
    matches: Matches | None = None,
    known_fields: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> BoostValues:
    """Return how far a rule holds for the documents of one query.

    `known_fields` are those that some document has, though none of these may. Raises
    `InputError` for a filter without `matches`, for a field that is neither in these documents
    nor known, and where no value of a field can be used.
    """
    if rule.filter is not None:
        if matches is None:
            raise needs_index(rule)
        return BoostValues([float(passed) for passed in matches(rule.filter, documents)])
    field = str(rule.field)
    if rule.function == "equals":
        _check_known(rule, documents, [field_text(d, field) for d in documents], known_fields)
        return BoostValues([_equals(d, field, str(rule.value)) for d in documents])
    present = [None if is_missing(v := _field(d, field)) else v for d in documents]
    _check_known(rule, documents, present, known_fields)
    decay = rule.decays
    if decay is None:
        numbers = [_transform(str(rule.function), value) for value in present]
    else:
        moment = datetime.now(UTC) if now is None else now
        distances = [_distance(decay, value, moment) for value in present]
        numbers = [None if d is None else decay.share(d) for d in distances]
    unread = sum(
        n is None and value is not None for n, value in zip(numbers, present, strict=True)
    )
    if unread and unread == sum(value is not None for value in present):
        example = next(value for value in present if value is not None)
        raise InputError(
            f"the boost {rule.name!r:.200} cannot be applied",
            why=f"{_wanted(rule, decay)}, and {field!r} is {example!r:.80}",
            fix="Boost by a filter where the field is text.",
        )
    values = scale_to_unit(numbers) if decay is None else [n or 0.0 for n in numbers]
    return BoostValues(values, unread)


def scale_to_unit(values: Sequence[float | None]) -> list[float]:
    """Return the values scaled so that the lowest is 0 and the highest 1.

    Missing ones are 0, and so are all where no two differ.
    """
    present = [value for value in values if value is not None]
    low, high = (min(present), max(present)) if present else (0.0, 0.0)
    # Halved first: two huge numbers of opposite signs must not overflow.
    span = high / 2 - low / 2
    if span == 0:
        return [0.0] * len(values)
    return [0.0 if v is None else (v / 2 - low / 2) / span for v in values]


def needs_index(rule: BoostRule) -> InputError:
    """Return the error for a filter where there is no index to apply it."""
    return InputError(
        f"the boost {rule.name!r:.200} cannot be applied",
        why="it is a filter, and only the search of an index has filters",
        fix='Search an index, or boost by a field, as in "equals(source, value=docs): +0.3".',
    )


def _field(document: Document, name: str) -> Any:
    value = document.metadata.get(name)
    return document.title if value is None and name == "title" else value


def _check_known(
    rule: BoostRule,
    documents: Sequence[Document],
    present: Sequence[Any],
    known_fields: Mapping[str, str] | None,
) -> None:
    known = {} if known_fields is None else known_fields
    if not documents or rule.field in known or any(v is not None for v in present):
        return
    available = {*known, *(name for d in documents for name in d.metadata)}
    raise InputError(
        f"the boost {rule.name!r:.200} cannot be applied",
        why=f"no document has the field {rule.field!r}",
        fix=nearest(str(rule.field), available) or None,
    )


def _equals(document: Document, field: str, wanted: str) -> float:
    value = document.metadata.get(field)
    if isinstance(value, list | tuple | set | frozenset):
        return float(wanted in map(str, value))
    return float(field_text(document, field) == wanted)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _transform(function: str, value: Any) -> float | None:
    number = _number(value)
    if number is None or function == "linear":
        return number
    if number < 0:
        return None
    return math.log1p(number) if function == "log" else 1 / (1 + number)


def _distance(decay: Decay, value: Any, now: datetime) -> float | None:
    """Return how far a value is from the origin, None where it is of another kind."""
    if decay.kind == "geo":
        place = parse_place(value)
        return None if place is None else meters_between(place, decay.origin)  # type: ignore[arg-type]
    if decay.kind == "date":
        moment = parse_moment(value)
        origin = now if decay.origin is None else decay.origin
        return None if moment is None else abs((moment - origin).total_seconds())  # type: ignore[operator]
    number = _number(value)
    if number is None:
        return None
    # Halved first: two huge numbers of opposite signs must not overflow.
    return 2 * min(abs(number / 2 - decay.origin / 2), 8e307)  # type: ignore[operator]


def meters_between(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the great-circle distance of two places, each (latitude, longitude) in degrees."""
    (lat_a, lon_a), (lat_b, lon_b) = (map(math.radians, place) for place in (a, b))
    half = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS * math.asin(math.sqrt(min(1.0, half)))


def _wanted(rule: BoostRule, decay: Decay | None) -> str:
    if decay is None:
        above = "" if rule.function == "linear" else " from 0 up"
        return f"{rule.function} needs numbers{above}"
    kinds = {
        "number": "numbers",
        "date": "dates, such as 2024-12-31",
        "geo": 'places, such as "52.52,13.40" or {"lat": 52.52, "lon": 13.4}',
    }
    return f"its origin needs {kinds[decay.kind]}"
