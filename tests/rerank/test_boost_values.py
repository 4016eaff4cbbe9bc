"""What a boost rule is worth for each document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, InputError
from secondpass.boost_rules import parse_boost
from secondpass.rerank.boost_values import evaluate_rule, meters_between, scale_to_unit

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def documents(values: Sequence[Any], field: str = "n") -> list[Document]:
    """Return documents with these values in a field, none for None."""
    return [Document("t", metadata={} if v is None else {field: v}) for v in values]


def evaluate(rule: str, values: Sequence[Any]) -> tuple[list[float], int]:
    found = evaluate_rule(parse_boost(f"{rule}: 1"), documents(values), now=NOW)
    return list(found.values), found.unread


@given(st.lists(st.none() | st.floats(-1.7e308, 1.7e308), max_size=9))
def test_scaling_keeps_the_order_between_0_and_1(values: list[float | None]) -> None:
    scaled = scale_to_unit(values)
    assert all(0 <= value <= 1 for value in scaled)
    pairs = sorted((v, s) for v, s in zip(values, scaled, strict=True) if v is not None)
    assert [s for _, s in pairs] == sorted(s for _, s in pairs)
    if pairs and pairs[0][0] / 2 < pairs[-1][0] / 2:
        assert (pairs[0][1], pairs[-1][1]) == (0, 1)


def test_numbers() -> None:
    assert evaluate("linear(n)", [0, 5, 10, None]) == ([0, 0.5, 1, 0], 0)
    assert evaluate("linear(n)", [-10, 0.0]) == ([0, 1], 0)
    values, unread = evaluate("log(n)", [0, math.e - 1, math.e**2 - 1, -3, "many", math.nan])
    assert (values, unread) == (pytest.approx([0, 0.5, 1, 0, 0, 0]), 2)
    assert evaluate("reciprocal(n)", [0, 1, 3, True])[0] == pytest.approx([1, 1 / 3, 0, 0])
    assert evaluate("linear(n)", [7, 7]) == ([0, 0], 0)


def test_decays_of_numbers_dates_and_places() -> None:
    assert evaluate("linear(n, origin=100, scale=10)", [100, 110, 90, 200, None])[0] == [
        *(1, 0.5, 0.5, 0, 0)
    ]
    days = ["2026-01-31", date(2026, 1, 1), "2025-12-02T00:00:00Z", "soon", None]
    values, unread = evaluate("exp(n, scale=30d)", days)
    assert (values, unread) == (pytest.approx([1, 0.5, 0.25, 0, 0]), 1)
    berlin, potsdam = "52.52,13.405", {"lat": 52.4, "lon": 13.06}
    assert meters_between((52.52, 13.405), (52.4, 13.06)) == pytest.approx(26_900, rel=0.01)
    at = 'gauss(n, origin="52.52,13.405", scale=26.9km)'
    assert evaluate(at, [berlin, potsdam, [13.4, 52.5]])[0] == pytest.approx(
        [1, 0.5, 0], abs=0.01
    )
    assert evaluate(at, [berlin, [13.4, 52.5]])[1] == 1


def test_equal_texts_and_lists_with_a_text() -> None:
    assert evaluate("equals(n, value=new)", ["new", ["old", "new"], "newer", None])[0] == [
        *(1, 1, 0, 0)
    ]
    assert evaluate("equals(n, value=2024)", [2024, ["2024"], 2024.5])[0] == [1, 1, 0]


def test_filters_are_applied_by_the_caller() -> None:
    rule = parse_boost("n >= 3: 1")
    some = documents([1, 5])

    def matches(condition: str, found: Sequence[Document]) -> list[bool]:
        assert condition == "n >= 3"
        return [document.metadata["n"] >= 3 for document in found]

    assert list(evaluate_rule(rule, some, matches=matches).values) == [0, 1]
    with pytest.raises(InputError, match="only the search of an index has filters"):
        evaluate_rule(rule, some)


@pytest.mark.parametrize(
    ("rule", "values", "why"),
    [
        ("log(n)", ["many", "few"], "log needs numbers from 0 up, and 'n' is 'many'"),
        ("linear(n)", [True], "linear needs numbers"),
        ("exp(n, scale=3d)", ["soon", 5], "needs dates"),
        ("exp(n, origin=5, scale=3)", ["soon"], "needs numbers"),
        ('exp(n, origin="1,1", scale=3km)', ["soon"], "needs places"),
        ("log(m)", [1], "no document has the field 'm'"),
        ("equals(m, value=x)", [1], "no document has the field 'm'"),
    ],
)
def test_what_fits_no_document_says_why(rule: str, values: list[Any], why: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(rule, values)
    assert why in str(caught.value)


def test_a_known_field_may_be_absent_and_no_documents_need_none() -> None:
    rule = parse_boost("log(m): 1")
    assert list(evaluate_rule(rule, documents([1]), known_fields={"m": "number"}).values) == [0]
    assert list(evaluate_rule(rule, []).values) == []
