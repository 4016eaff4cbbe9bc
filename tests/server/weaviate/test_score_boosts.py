"""Boosts and diversity as gRPC sends them: parsed, refused, and added up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.class_definition import ClassDefinition, complete_class
from secondpass.server.weaviate.get_query import GetQuery
from secondpass.server.weaviate.grpc.messages import SearchRequest, check_message
from secondpass.server.weaviate.grpc.search_request import parse_search
from secondpass.server.weaviate.score_boosts import BoostCondition, ScoreBoost

DEFINITION = ClassDefinition.from_declaration(
    complete_class(
        {
            "class": "Doc",
            "vectorizer": "none",
            "properties": [
                {"name": "text", "dataType": ["text"]},
                {"name": "n", "dataType": ["int"]},
                {"name": "day", "dataType": ["date"]},
            ],
        }
    )
)


def parse(boost: Any = None, mmr: Any = None) -> GetQuery:
    """Return the query of a request with a boost or a selection."""
    request: Any = SearchRequest(collection="Doc", limit=5)
    request.near_vector.vector.extend([1.0, 0.0])
    if boost is not None:
        request.boost.SetInParent()
        for condition in boost.pop("conditions"):
            request.boost.conditions.add(**condition)
        for name, value in boost.items():
            setattr(request.boost, name, value)
    if mmr is not None:
        request.near_vector.selection.mmr.SetInParent()
        for name, value in mmr.items():
            setattr(request.near_vector.selection.mmr, name, value)
    check_message(request)
    return parse_search(request, DEFINITION)


def values(condition: dict[str, Any], *properties: dict[str, Any]) -> list[float]:
    boost = parse({"conditions": [condition]}).boost
    assert boost is not None
    assert (boost.weight, boost.depth) == (0.5, 100)
    return boost.conditions[0].values(properties)


def test_conditions_of_properties() -> None:
    some = ({"n": 0}, {"n": 4}, {"n": 16}, {})
    assert values({"property_value": {"property": "n"}}, *some) == [0, 0.25, 1, 0]
    root = {"property_value": {"property": "n", "modifier": 2}}
    assert values(root, *some) == [0, 0.5, 1, 0]
    logarithm = values({"property_value": {"property": "n", "modifier": 1}}, *some)
    assert logarithm[0] == 0 < logarithm[1] < logarithm[2] == 1
    decay = {"numeric_decay": {"property": "n", "origin": 4, "scale": 4, "curve": 2}}
    assert values(decay, *some) == [0.5, 1, 0, 0]
    assert values({"property_value": {"property": "n", "modifier": 2}}, {"n": -1}) == [0]
    assert values({"property_value": {"property": "n", "modifier": 1}}, {"n": -1}) == [0]
    days = {"time_decay": {"property": "day", "origin": "2024-01-31T00:00:00Z", "scale": "30d"}}
    assert values(days, {"day": "2024-01-01T00:00:00Z"}, {}) == [pytest.approx(0.5), 0]


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 1)), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(-2, 2),
)
def test_a_weight_is_a_share_of_the_score(
    rows: list[tuple[float, float]], weight: float, one: float
) -> None:
    boost = ScoreBoost((BoostCondition(one),), weight, 100)
    scores = boost.combine([score for score, _ in rows], [[value for _, value in rows]])
    assert all(-1 - 1e-9 <= score <= 1 + 1e-9 for score in scores)
    if weight == 1 and one > 0:
        assert scores == pytest.approx([value for _, value in rows])
    assert ScoreBoost((BoostCondition(one),), 0, 100).combine([1, 3], [[1, 0]]) == [0, 1]


@pytest.mark.parametrize(
    ("boost", "why"),
    [
        ({"conditions": []}, "1 to 20 conditions"),
        ({"conditions": [{}]}, "empty"),
        ({"conditions": [{"property_value": {"property": "text"}}]}, "not int or number"),
        ({"conditions": [{"property_value": {"property": "absent"}}]}, "no such prop"),
        ({"conditions": [{"numeric_decay": {"property": "n"}}]}, "above 0"),
        ({"conditions": [{"time_decay": {"property": "n", "scale": "3d"}}]}, "not date"),
        (
            {
                "conditions": [
                    {"time_decay": {"property": "day", "origin": "soon", "scale": "3d"}}
                ]
            },
            "no date",
        ),
        ({"conditions": [{"property_value": {"property": "n"}}], "weight": 2}, "from 0 to 1"),
        ({"conditions": [{"property_value": {"property": "n"}}], "depth": 0}, "depth"),
    ],
)
def test_boosts_that_cannot_be_used(boost: Any, why: str) -> None:
    with pytest.raises(HttpError, match=why):
        parse(boost)


def test_selections() -> None:
    found = parse(mmr={"limit": 3, "balance": 0.25}).diversity
    assert found is not None
    assert (found.limit, found.balance) == (3, 0.25)
    for mmr, why in (({}, "limit"), ({"limit": 6}, "limit"), ({"limit": 1, "balance": 2}, "1")):
        with pytest.raises(HttpError, match=why):
            parse(mmr=mmr)
