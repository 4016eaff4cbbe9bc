"""Boost rules: what is added to the score of which documents, as text and as a table.

A rule is `WHAT: WEIGHT`. WHAT is a filter, as in `year >= 2024: +0.3`, or a function of a
metadata field, as in `log(downloads): +0.3` and `gauss(published, scale=30d): +0.5`. As a table
(TOML, JSON, Python) these are `{filter, weight}` and `{function, field, …, weight}`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from secondpass.errors import InputError, nearest

Function = Literal["linear", "log", "reciprocal", "gauss", "exp", "equals"]
FUNCTIONS: tuple[Function, ...] = get_args(Function)
_DECAYS = ("gauss", "exp", "linear")
_DECAY_PARAMETERS = ("origin", "scale", "offset", "decay")

EXAMPLES = '"year >= 2024: +0.3", "log(downloads): +0.3" or "exp(published, scale=30d): +0.5"'

# No two parts of these can match the same characters, so they run in linear time.
_WEIGHT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\((.*)\)", re.DOTALL)
_BARE = re.compile(r"[\w.+-]+")
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)")

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""Units of time, as in Elasticsearch: m is a minute."""
METERS = {"m": 1.0, "km": 1000.0, "mi": 1609.344}
"""Units of distance: m is a meter."""


@dataclass(frozen=True, slots=True)
class Decay:
    """How a boost falls with the distance of a value from an origin.

    - `kind`: "number", "date" (distances in seconds) or "geo" (in meters).
    - `origin`: a number, a moment in UTC, None for the moment of the search, or (latitude,
      longitude) in degrees.
    - `scale`, above 0: the distance beyond `offset` at which `decay`, between 0 and 1, of the
      boost is left. Up to `offset`, 0 or more, nothing is lost.
    """

    shape: str
    kind: Literal["number", "date", "geo"]
    origin: float | datetime | tuple[float, float] | None
    scale: float
    offset: float
    decay: float

    def share(self, distance: float) -> float:
        """Return what is left at a distance, 0 to 1, as Elasticsearch's function_score does.

        gauss: decay ** (d / scale)²; exp: decay ** (d / scale); linear: 1 - (1 - decay) * d /
        scale, not below 0; d is the distance less the offset, not below 0.
        """
        steps = max(0.0, distance - self.offset) / self.scale
        if self.shape == "linear":
            return max(0.0, 1.0 - (1.0 - self.decay) * steps)
        # Beyond a thousand steps nothing is left, and a square could overflow.
        steps = min(steps, 1e6)
        return float(self.decay ** (steps * steps if self.shape == "gauss" else steps))


@dataclass(frozen=True, slots=True)
class BoostRule:
    """One boost: `weight` is added where the rule holds fully, in standard deviations.

    - `filter`: an SQL condition on metadata; it holds or does not. Else `function` of `field`:
    - `linear`, `log`, `reciprocal`: of a number from 0 up (`linear`: any number); over the
      candidates of a query, the lowest result of x, ln(1 + x) or 1 / (1 + x) counts 0 and the
      highest 1.
    - `gauss`, `exp`, and `linear` with a `scale`: the share that is left of a decay from
      `origin`, which is a number, a date, "now" or "latitude,longitude".
    - `equals`: 1 where the field is `value`, or is a list with it, compared as text.

    Raises `InputError` for what cannot be a rule.
    """

    weight: float
    filter: str | None = None
    function: Function | None = None
    field: str | None = None
    value: str | None = None
    origin: str | float | None = None
    scale: str | float | None = None
    offset: str | float | None = None
    decay: float | None = None

    def __post_init__(self) -> None:
        weight: Any = self.weight
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight):
            raise _unusable("its weight must be a finite number")
        object.__setattr__(self, "weight", float(weight))
        if (self.filter is None) == (self.function is None):
            raise _unusable("it must have either a filter or a function")
        if self.filter is None:
            self._check_function()
        else:
            self._check_filter()

    @property
    def name(self) -> str:
        """The rule without its weight, as it is named in `parts` and in reasons."""
        if self.filter is not None:
            return self.filter
        given = [(name, getattr(self, name)) for name in ("value", *_DECAY_PARAMETERS)]
        arguments = [f"{name}={_write(value)}" for name, value in given if value is not None]
        return f"{self.function}({', '.join([_write(self.field), *arguments])})"

    @property
    def text(self) -> str:
        """The rule as the command line takes it; `parse_boost` reads it back."""
        return f"{self.name}: {self.weight:+}"

    @property
    def table(self) -> dict[str, Any]:
        """The rule as TOML and JSON take it; `parse_boost` reads it back."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def decays(self) -> Decay | None:
        """The decay of the rule, or None where it is none."""
        if self.function not in _DECAYS or self.scale is None:
            return None
        kind, origin = self._read_origin()
        units = {"number": {}, "date": SECONDS, "geo": METERS}[kind]
        scale = self._read_amount("scale", units, kind)
        offset = self._read_amount("offset", units, kind)
        decay = 0.5 if self.decay is None else self.decay
        return Decay(str(self.function), kind, origin, scale, offset, decay)

    def _check_filter(self) -> None:
        if not isinstance(self.filter, str) or not self.filter.strip():
            raise _unusable("its filter must be a condition, as text")
        object.__setattr__(self, "filter", self.filter.strip())
        self._refuse("field", "value", *_DECAY_PARAMETERS)
        call = _CALL.fullmatch(self.filter.strip())
        if call is not None and _is_function(call[1], call[2]):
            raise _unusable(f"{call[1]}(…) is a function of a field, not a filter")

    def _check_function(self) -> None:
        if self.function not in FUNCTIONS:
            raise _unusable(
                f"there is no function {self.function!r}",
                nearest(str(self.function), FUNCTIONS),
            )
        if not isinstance(self.field, str) or not self.field:
            raise _unusable("it names no field")
        if self.function == "equals":
            self._refuse(*_DECAY_PARAMETERS)
            if self.value is None:
                raise _unusable("equals needs a value, as in equals(tags, value=new)")
            object.__setattr__(self, "value", _as_text(self.value))
            return
        self._refuse("value")
        if self.function not in _DECAYS:
            self._refuse(*_DECAY_PARAMETERS)
            return
        given = [name for name in _DECAY_PARAMETERS if getattr(self, name) is not None]
        if self.function == "linear" and not given:
            return
        if self.scale is None:
            raise _unusable("a decay needs a scale, such as scale=30d, scale=10km or scale=5")
        for name in ("origin", "scale", "offset"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        decay: Any = self.decay
        if decay is not None:
            number = isinstance(decay, int | float) and not isinstance(decay, bool)
            if not number or not 0 < decay < 1:
                raise _unusable("its decay must be a number between 0 and 1")
            object.__setattr__(self, "decay", float(decay))
        assert self.decays is not None

    def _refuse(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                what = "a filter" if self.function is None else str(self.function)
                raise _unusable(f"{what} takes no {name}")

    def _read_origin(
        self,
    ) -> tuple[Literal["number", "date", "geo"], float | datetime | tuple[float, float] | None]:
        origin = self.origin
        if isinstance(origin, float):
            return "number", origin
        if origin is None:
            match = _AMOUNT.fullmatch(str(self.scale))
            if match is None or match[2] not in SECONDS:
                raise _unusable(
                    "a decay of numbers or places needs an origin, as in origin=100 or "
                    'origin="52.52,13.40"; without one it is a decay of dates from now, whose '
                    "scale has a unit: s, m (minutes), h, d or w",
                )
            return "date", None
        if origin == "now":
            return "date", None
        place = parse_place(origin)
        if place is not None:
            return "geo", place
        moment = parse_moment(origin)
        if moment is not None:
            return "date", moment
        raise _unusable(
            f"its origin {origin!r:.80} is no number, no date (2024-12-31), no place "
            '("52.52,13.40") and not now',
        )

    def _read_amount(self, name: str, units: Mapping[str, float], kind: str) -> float:
        value = getattr(self, name)
        if value is None:
            return 0.0
        amount, unit = value, ""
        if isinstance(value, str):
            match = _AMOUNT.fullmatch(value.strip())
            if match is None:
                raise _unusable(f"its {name} {value!r:.80} is no amount")
            amount, unit = float(match[1]), match[2]
        if bool(units) != bool(unit) or (units and unit not in units):
            # Nothing is at distance 0 in every unit.
            if amount == 0 and not unit:
                return self._positive(name, 0.0)
            wanted = f"one of the units {', '.join(units)}" if units else "no unit"
            raise _unusable(f"its {name} must have {wanted}: its origin is a {kind}")
        return self._positive(name, float(amount) * (units[unit] if units else 1.0))

    def _positive(self, name: str, amount: float) -> float:
        if not math.isfinite(amount) or amount < 0 or (name == "scale" and amount == 0):
            limit = "above 0" if name == "scale" else "from 0 up"
            raise _unusable(f"its {name} must be {limit}, not {amount:g}")
        return amount


BoostLike = str | Mapping[str, Any] | BoostRule
"""A rule as text, as a table, or read already."""


def parse_boost(boost: BoostLike) -> BoostRule:
    """Read one rule; raises `InputError` for what is none."""
    if isinstance(boost, BoostRule):
        return boost
    try:
        return _parse_text(boost) if isinstance(boost, str) else _parse_table(boost)
    except InputError as error:
        given = boost if isinstance(boost, str) else repr(boost)
        raise InputError(
            error.what, where=f"{given:.200}", why=error.why, fix=error.fix
        ) from None


def parse_boosts(boosts: Sequence[BoostLike]) -> tuple[BoostRule, ...]:
    """Read a list of rules; raises `InputError` for what is none."""
    if isinstance(boosts, str | Mapping | BoostRule):
        raise InputError("boost must be a list", why="a single rule was given")
    return tuple(map(parse_boost, boosts))


def _parse_table(table: Mapping[str, Any]) -> BoostRule:
    if not isinstance(table, Mapping):
        raise _unusable("it is neither text nor a table")
    known = [field.name for field in fields(BoostRule)]
    for name in table:
        if name not in known:
            raise _unusable(f"there is no key {name!r}", nearest(str(name), known))
    if "weight" not in table:
        raise _unusable("it has no weight")
    return BoostRule(**table)


def _parse_text(text: str) -> BoostRule:
    what, colon, weight = text.rpartition(":")
    what, weight = what.strip(), weight.strip()
    if not colon or not _WEIGHT.fullmatch(weight) or not what:
        raise _unusable("it must end with a colon and a number, such as ': +0.3'")
    call = _CALL.fullmatch(what)
    if call is None or not _is_function(call[1], call[2]):
        return BoostRule(float(weight), filter=what)
    first, *rest = _split(call[2])
    given: dict[str, Any] = {}
    for part in rest:
        name, sign, value = part.partition("=")
        name = name.strip()
        known = ("value", *_DECAY_PARAMETERS)
        if not sign or name not in known:
            raise _unusable(f"there is no parameter {name!r}", nearest(name, known))
        if name in given:
            raise _unusable(f"{name} is given twice")
        given[name] = _unquote(value)
    if isinstance(given.get("decay"), str):
        given["decay"] = _plain(given["decay"])
    return BoostRule(float(weight), function=call[1], field=_unquote(first), **given)  # type: ignore[arg-type]


def _is_function(name: str, inner: str) -> bool:
    """Return whether a call is a function of a field, and not a condition in SQL."""
    outside = re.sub(r'"[^"]*"', "", inner)
    if name in FUNCTIONS:
        # More than one call, as in log(a) > log(b).
        return "(" not in outside and ")" not in outside
    # A misspelt function has parameters, which no function of SQL has.
    return any(re.search(rf"[,(]\s*{p}\s*=", f"({outside}") for p in _DECAY_PARAMETERS)


def _split(text: str) -> list[str]:
    """Split at commas that are not in double quotes."""
    parts, quoted = [""], False
    for character in text:
        quoted ^= character == '"'
        if character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _unquote(text: str) -> str:
    text = text.strip()
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return text[1:-1].replace('""', '"')
    if not text:
        raise _unusable("a field or a value is missing")
    return text


def _write(value: str | float | None) -> str:
    text = f"{value!r}" if isinstance(value, float) else str(value)
    return text if _BARE.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def _plain(value: Any) -> Any:
    """Return a number as float, a date and a place as text, text without spaces around it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        place = parse_place(value)
        return value if place is None else f"{place[0]!r},{place[1]!r}"
    value = value.strip()
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def parse_moment(value: object) -> datetime | None:
    """Return a date, a datetime or ISO 8601 text as a moment in UTC, None for anything else.

    One without a time zone is in UTC; a date is its midnight.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def parse_place(value: object) -> tuple[float, float] | None:
    """Return (latitude, longitude) in degrees, None for what is no place.

    A place is the text "latitude,longitude", or a mapping with `lat` and `lon`, or `latitude`
    and `longitude`. A list is none: its order differs from one format to the next.
    """
    numbers: Sequence[Any] = ()
    if isinstance(value, str):
        numbers = value.split(",")
    elif isinstance(value, Mapping):
        pairs = (("lat", "lon"), ("latitude", "longitude"), ("lat", "lng"))
        numbers = next(
            ([value[a], value[b]] for a, b in pairs if a in value and b in value), ()
        )
    if len(numbers) != 2 or any(isinstance(n, bool) for n in numbers):
        return None
    try:
        latitude, longitude = (float(n) for n in numbers)
    except (TypeError, ValueError):
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def _unusable(why: str, fix: str | None = None) -> InputError:
    return InputError("the boost cannot be used", why=why, fix=fix or f"Examples: {EXAMPLES}.")
