"""Boost rules: text, tables, decays, and what is refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.boost_rules import FUNCTIONS, BoostRule, parse_boost, parse_boosts
from secondpass.errors import InputError

weights = st.floats(-1e6, 1e6)
names = st.text(min_size=1, max_size=12).filter(lambda text: "\r" not in text)
numbers = st.floats(-1e9, 1e9)
amounts = st.floats(1e-3, 1e9)


@st.composite
def rules(draw: st.DrawFn) -> BoostRule:
    """Any rule that there can be."""
    weight, kind = draw(weights), draw(st.sampled_from(("filter", *FUNCTIONS, "decay")))
    if kind == "filter":
        field, year = draw(st.sampled_from(("year", '"my: field"'))), draw(st.integers(0, 3000))
        text = draw(st.text(max_size=9)).replace("'", "''")
        return BoostRule(weight, filter=f"{field} >= {year} OR t = '{text}: 3'")
    field = draw(names)
    if kind == "equals":
        return BoostRule(weight, function="equals", field=field, value=draw(names))
    if kind in ("log", "reciprocal", "linear"):
        return BoostRule(weight, function=kind, field=field)  # type: ignore[arg-type]
    shape: Any = draw(st.sampled_from(("gauss", "exp", "linear")))
    decay = draw(st.none() | st.floats(0.01, 0.99))
    origin, scale, offset = draw(
        st.one_of(
            st.tuples(numbers, amounts, st.none() | amounts),
            st.tuples(
                st.none() | st.just("now") | st.dates().map(str) | st.datetimes().map(str),
                st.sampled_from(("30d", "1.5h", "10m", "2w", "1s")),
                st.none() | st.just("7d"),
            ),
            st.tuples(st.just("52.52,-13.4"), st.just("10km"), st.none() | st.just("300m")),
        )
    )
    return BoostRule(
        weight,
        function=shape,
        field=field,
        origin=origin,
        scale=scale,
        offset=offset,
        decay=decay,
    )


@given(rules())
def test_a_rule_is_the_same_as_text_and_as_table(rule: BoostRule) -> None:
    assert parse_boost(rule.text) == rule
    assert parse_boost(rule.table) == rule
    assert parse_boost(rule) is rule


@given(st.text(max_size=60) | st.dictionaries(st.sampled_from(("weight", "field")), names))
def test_whatever_is_given_is_a_rule_or_an_input_error(given_: Any) -> None:
    try:
        rule = parse_boost(given_)
    except InputError:
        return
    assert parse_boost(rule.text) == rule


@given(rules(), st.lists(st.floats(0, 1e12), min_size=2, max_size=5))
def test_a_decay_falls_from_1_to_0(rule: BoostRule, distances: list[float]) -> None:
    decay = rule.decays
    if decay is None:
        return
    shares = [decay.share(distance) for distance in sorted(distances)]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 1 for share in shares)
    assert decay.share(decay.offset) == 1
    # The nearest number to offset + scale may be a little off.
    assert decay.share(decay.offset + decay.scale) == pytest.approx(decay.decay, abs=1e-3)


@pytest.mark.parametrize(
    ("shape", "expected"), [("gauss", 0.5**4), ("exp", 0.5**2), ("linear", 0.0)]
)
def test_decays_are_those_of_elasticsearch(shape: str, expected: float) -> None:
    decay = parse_boost(f"{shape}(price, origin=100, scale=10, offset=5): 1").decays
    assert decay is not None
    assert decay.share(25.0) == pytest.approx(expected)
    # As in its documentation: sigma² = -scale² / (2 ln decay), lambda = ln(decay) / scale.
    sigma2, rate = -(10.0**2) / (2 * math.log(0.5)), math.log(0.5) / 10.0
    s = 10.0 / (1.0 - 0.5)
    by_hand = {
        "gauss": math.exp(-(7.0**2) / (2 * sigma2)),
        "exp": math.exp(rate * 7.0),
        "linear": (s - 7.0) / s,
    }
    assert decay.share(12.0) == pytest.approx(by_hand[shape])


def test_units_and_origins() -> None:
    def read(text: str) -> Any:
        return parse_boost(text).decays

    assert read("exp(day, scale=2w): 1").scale == 14 * 86400
    assert read("exp(day, origin=2024-01-01, scale=90m): 1").scale == 5400
    assert read('exp(place, origin="1,2", scale=90m): 1').scale == 90
    assert read("exp(day, origin=2024-01-01, scale=1d): 1").origin == datetime(
        2024, 1, 1, tzinfo=UTC
    )
    table = {"function": "exp", "field": "day", "origin": date(2024, 1, 1), "scale": "1d"}
    assert parse_boost({**table, "weight": 1}).origin == "2024-01-01"
    place = {"function": "gauss", "field": "at", "origin": {"lat": 1, "lon": 2}, "scale": "1km"}
    assert parse_boost({**place, "weight": 1}).decays.origin == (1.0, 2.0)  # type: ignore[union-attr]
    assert parse_boost("log(a) > log(b): 1").filter == "log(a) > log(b)"
    assert parse_boost("starts_with(title, 'x'): 1").filter == "starts_with(title, 'x')"


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ("year >= 2024", "end with a colon and a number"),
        ("year >= 2024: much", "end with a colon and a number"),
        (": 0.3", "end with a colon and a number"),
        ("gaus(day, scale=3d): 1", "Did you mean 'gauss'"),
        ("gauss(day, scale=3d, decai=0.5): 1", "Did you mean 'decay'"),
        ("gauss(day, scale=3d, scale=4d): 1", "twice"),
        ("gauss(day): 1", "needs a scale"),
        ("gauss(day, scale=0d): 1", "above 0"),
        ("gauss(n, origin=1, scale=-1): 1", "above 0"),
        ("gauss(n, origin=1, scale=1, offset=-1): 1", "from 0 up"),
        ("gauss(n, origin=1, scale=1, decay=1): 1", "between 0 and 1"),
        ("gauss(n, scale=5): 1", "needs an origin"),
        ("gauss(day, origin=2024-13-01, scale=3d): 1", "no date"),
        ("gauss(day, origin=2024-12-01, scale=3): 1", "one of the units"),
        ('gauss(at, origin="91,0", scale=3km): 1', "no place"),
        ("gauss(n, origin=3, scale=3km): 1", "no unit"),
        ("log(n, scale=3): 1", "takes no scale"),
        ("equals(tags): 1", "needs a value"),
        ("log(): 1", "missing"),
        ({"weight": 1}, "either a filter or a function"),
        ({"filter": "a > 1"}, "no weight"),
        ({"filter": "a > 1", "weight": math.inf}, "finite"),
        ({"filter": "a > 1", "weight": True}, "finite"),
        ({"filter": "log(n)", "weight": 1}, "function of a field"),
        ({"filter": "a > 1", "field": "n", "weight": 1}, "takes no field"),
        ({"filter": "a > 1", "weigth": 1}, "Did you mean 'weight'"),
        (3, "neither text nor a table"),
    ],
)
def test_what_cannot_be_a_rule_says_why(given_: Any, why: str) -> None:
    with pytest.raises(InputError, match="the boost cannot be used") as caught:
        parse_boost(given_)
    assert why in str(caught.value)
    with pytest.raises(InputError, match="must be a list"):
        parse_boosts("year >= 2024: +0.3")
