"""Search requests over gRPC, parsed into what GraphQL's arguments mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.filters import MAX_DEPTH, parse_where, to_sql
from secondpass.server.weaviate.get_query import Rerank
from secondpass.server.weaviate.grpc.messages import (
    BatchDeleteRequest,
    Filters,
    SearchRequest,
    check_message,
    decode,
)
from secondpass.server.weaviate.grpc.search_request import (
    parse_filters,
    parse_search,
    search_arguments,
)
from tests.server.weaviate.filter_oracle import KINDS
from tests.server.weaviate.test_filters import DEFINITION, filters

_NAMES = {
    "NotEqual": "NOT_EQUAL",
    "GreaterThan": "GREATER_THAN",
    "GreaterThanEqual": "GREATER_THAN_EQUAL",
    "LessThan": "LESS_THAN",
    "LessThanEqual": "LESS_THAN_EQUAL",
    "IsNull": "IS_NULL",
    "ContainsAny": "CONTAINS_ANY",
    "ContainsAll": "CONTAINS_ALL",
    "ContainsNone": "CONTAINS_NONE",
}


def sent(where: Mapping[str, Any], *, old: bool = False) -> Any:
    """Return a filter as clients send it: the type is that of the value."""
    operator = where["operator"]
    found = Filters(operator=f"OPERATOR_{_NAMES.get(operator, operator.upper())}")
    if "operands" in where:
        found.filters.extend(sent(one, old=old) for one in where["operands"])
        return found
    if old:
        found.on.extend(where["path"])
    else:
        found.target.property = where["path"][0]
    (value,) = (value for key, value in where.items() if key.startswith("value"))
    first = value[0] if isinstance(value, list) else value
    kinds = {str: "text", bool: "boolean", int: "int", float: "number"}
    kind = kinds[type(first)]
    if isinstance(value, list):
        if any(isinstance(one, float) for one in value):
            kind = "number"
        getattr(found, f"value_{kind}_array").values.extend(value)
    else:
        setattr(found, f"value_{kind}", value)
    return found


@settings(max_examples=400)
@given(where=filters, old=st.booleans())
def test_a_filter_means_what_it_means_in_json(where: dict[str, Any], old: bool) -> None:
    columns = [f"p_{name}" for name in KINDS]
    message = decode(Filters, sent(where, old=old).SerializeToString())
    found = to_sql(parse_where(parse_filters(message, DEFINITION)), DEFINITION, columns)
    assert found == to_sql(parse_where(where), DEFINITION, columns)


def test_whole_numbers_and_fractions_go_by_the_property() -> None:
    year = Filters(operator="OPERATOR_EQUAL", value_number=2000.0)
    year.target.property = "year"
    assert parse_filters(year, DEFINITION)["valueInt"] == 2000
    year.value_number_array.values.extend([2000.0, 2001.0])
    assert parse_filters(year, DEFINITION)["valueInt"] == [2000, 2001]
    year.value_number = 2000.5
    with pytest.raises(HttpError, match="another type"):
        parse_where(parse_filters(year, DEFINITION))
    price = Filters(operator="OPERATOR_LESS_THAN", value_int=7)
    price.target.property = "price"
    assert parse_filters(price, DEFINITION)["valueNumber"] == 7


def test_a_number_may_be_sent_as_a_text() -> None:
    for name, text, expected in (
        *(("year", "7", {"valueInt": 7}), ("price", "2.5", {"valueNumber": 2.5})),
        ("title", "7", {"valueText": "7"}),
    ):
        one = Filters(operator="OPERATOR_EQUAL", value_text=text)
        one.target.property = name
        where = parse_filters(one, DEFINITION)
        assert where == {"operator": "Equal", "path": [name], **expected}
    one.target.property = "year"
    one.value_text = "seven"
    with pytest.raises(HttpError, match="'seven' is not a number"):
        parse_filters(one, DEFINITION)


@pytest.mark.parametrize(
    ("time", "key"), [("2024-12-31T23:59:59Z", "valueDate"), ("1735689599000", "valueText")]
)
def test_times_of_objects_are_dates_or_milliseconds(time: str, key: str) -> None:
    one = Filters(operator="OPERATOR_LESS_THAN", value_text=time)
    one.target.property = "_creationTimeUnix"
    where = parse_filters(one, DEFINITION)
    assert where[key] == time
    to_sql(parse_where(where), DEFINITION, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: setattr(f, "operator", 99), "operator 99"),
        (lambda f: setattr(f, "operator", 0), "operator 'Unspecified'"),
        (lambda f: setattr(f, "operator", 9), "operator 'WithinGeoRange'"),
        (lambda f: f.ClearField("value_int"), "needs a value"),
        (lambda f: f.ClearField("target"), "needs a property"),
    ],
)
def test_a_filter_that_is_none(change: Any, message: str) -> None:
    one = Filters(operator="OPERATOR_EQUAL", value_int=1)
    one.target.property = "year"
    change(one)
    with pytest.raises(HttpError, match=message):
        parse_where(parse_filters(one, DEFINITION))


def test_a_filter_that_is_too_deep() -> None:
    one = Filters(operator="OPERATOR_EQUAL", value_int=1)
    one.target.property = "year"
    for _ in range(MAX_DEPTH):
        outer = Filters(operator="OPERATOR_NOT")
        outer.filters.append(one)
        one = outer
    with pytest.raises(HttpError, match="nested deeper"):
        parse_filters(one, DEFINITION)


def arguments(**fields: Any) -> dict[str, Any]:
    request = decode(SearchRequest, SearchRequest(**fields).SerializeToString())
    parsed = search_arguments(request, DEFINITION)
    return {name: value for name, value in parsed.items() if value is not None}


def test_what_is_not_said_is_the_databases_default() -> None:
    assert arguments() == {"offset": 0, "limit": 10}
    assert arguments(limit=3, offset=4, autocut=1, after="x") == {
        **{"offset": 4, "limit": 3, "autocut": 1, "after": "x"}
    }


def test_alpha_is_what_the_client_says() -> None:
    def alpha(**fields: Any) -> Any:
        return arguments(hybrid_search={"query": "q", **fields})["hybrid"]["alpha"]

    # Nothing on the wire is 0 in clients that know no other way to say it.
    assert alpha() == 0
    assert alpha(alpha=0.5) == 0.5
    assert alpha(alpha=0.5, use_alpha_param=True) is None
    assert alpha(alpha_param=0.0, use_alpha_param=True) == 0


def test_a_rerank_without_a_query_is_not_one_with_an_empty_query() -> None:
    def reranks(**rerank: Any) -> Any:
        request = SearchRequest(rerank=rerank or None, bm25_search={"query": "sea"})
        query = parse_search(request, DEFINITION)
        return query.reranks, query.text

    assert reranks() == ((), "sea")
    assert reranks(property="title") == ((Rerank("title", None),), "sea")
    assert reranks(property="title", query="x") == ((Rerank("title", "x"),), "sea")
    with pytest.raises(HttpError, match="no query provided"):
        reranks(property="title", query="")
    with pytest.raises(HttpError, match="no such prop"):
        reranks(property="missing")


def test_only_one_vector_is_searched_for() -> None:
    two = {"vectors": [{"vector_bytes": b"\0" * 4}, {"vector_bytes": b"\0" * 4}]}
    with pytest.raises(HttpError, match="only 1 vector"):
        arguments(near_vector=two)
    with pytest.raises(HttpError, match="vector is required"):
        arguments(near_vector={})
    near = {"near_vector": {"vector_bytes": b"\0" * 4}}
    with pytest.raises(HttpError, match="give one of"):
        arguments(hybrid_search={**near, "vector_bytes": b"\0" * 4})
    with pytest.raises(HttpError, match="no vector 'other'"):
        parse_search(SearchRequest(metadata={"vectors": ["other"]}), DEFINITION)


def test_a_certainty_is_a_distance() -> None:
    def furthest(**near: float) -> Any:
        asked = {"near_vector": {"vector_bytes": b"\0" * 4, **near}, "vector_distance": 0.5}
        return arguments(hybrid_search=asked)["hybrid"]["maxVectorDistance"]

    assert furthest() == 0.5
    assert furthest(distance=0.25) == 0.25
    assert furthest(certainty=0.75) == 0.5
    for number in (math.nan, math.inf):
        with pytest.raises(HttpError, match="not a valid distance"):
            furthest(certainty=number)


@given(st.binary(max_size=200), st.sampled_from([SearchRequest, BatchDeleteRequest]))
def test_any_bytes_are_a_message_or_a_problem(content: bytes, kind: Any) -> None:
    with suppress(HttpError):
        message = decode(kind, content)
        check_message(message)
        if kind is SearchRequest:
            parse_search(message, DEFINITION)
        elif message.HasField("filters"):
            parse_filters(message.filters, DEFINITION)
