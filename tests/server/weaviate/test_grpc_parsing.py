"""Messages of gRPC read as what the other ways to ask have, whatever a client sends."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.compile_protobuf import COMPILED, compile_messages
from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.filters import MOST_LEVELS, read_where, to_sql
from secondpass.server.weaviate.grpc.messages import (
    BatchDeleteRequest,
    BatchObjectsRequest,
    Filters,
    SearchRequest,
    Vectors,
    chosen_of,
    decoded,
    properties_of,
)
from secondpass.server.weaviate.grpc.replies import object_of
from secondpass.server.weaviate.grpc.search_request import (
    arguments_of,
    asked_of,
    named_vectors,
    where_of,
)
from secondpass.server.weaviate.grpc.service import MOST_PARTS, refuse_unsupported
from tests.server.weaviate.plain_where import KINDS
from tests.server.weaviate.test_where import DEFINITION, filters

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
    message = decoded(Filters, sent(where, old=old).SerializeToString())
    found = to_sql(read_where(where_of(message, DEFINITION)), DEFINITION, columns)
    assert found == to_sql(read_where(where), DEFINITION, columns)


def test_whole_numbers_and_fractions_go_by_the_property() -> None:
    year = Filters(operator="OPERATOR_EQUAL", value_number=2000.0)
    year.target.property = "year"
    assert where_of(year, DEFINITION)["valueInt"] == 2000
    year.value_number_array.values.extend([2000.0, 2001.0])
    assert where_of(year, DEFINITION)["valueInt"] == [2000, 2001]
    year.value_number = 2000.5
    with pytest.raises(HttpError, match="another type"):
        read_where(where_of(year, DEFINITION))
    price = Filters(operator="OPERATOR_LESS_THAN", value_int=7)
    price.target.property = "price"
    assert where_of(price, DEFINITION)["valueNumber"] == 7


def test_a_number_may_be_sent_as_a_text() -> None:
    for name, text, expected in (
        *(("year", "7", {"valueInt": 7}), ("price", "2.5", {"valueNumber": 2.5})),
        ("title", "7", {"valueText": "7"}),
    ):
        one = Filters(operator="OPERATOR_EQUAL", value_text=text)
        one.target.property = name
        where = where_of(one, DEFINITION)
        assert where == {"operator": "Equal", "path": [name], **expected}
    one.target.property = "year"
    one.value_text = "seven"
    with pytest.raises(HttpError, match="'seven' is not a number"):
        where_of(one, DEFINITION)


@pytest.mark.parametrize(
    ("time", "key"), [("2024-12-31T23:59:59Z", "valueDate"), ("1735689599000", "valueText")]
)
def test_times_of_objects_are_dates_or_milliseconds(time: str, key: str) -> None:
    one = Filters(operator="OPERATOR_LESS_THAN", value_text=time)
    one.target.property = "_creationTimeUnix"
    where = where_of(one, DEFINITION)
    assert where[key] == time
    to_sql(read_where(where), DEFINITION, [])


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
        read_where(where_of(one, DEFINITION))


def test_a_filter_that_is_too_deep() -> None:
    one = Filters(operator="OPERATOR_EQUAL", value_int=1)
    one.target.property = "year"
    for _ in range(MOST_LEVELS):
        outer = Filters(operator="OPERATOR_NOT")
        outer.filters.append(one)
        one = outer
    with pytest.raises(HttpError, match="nested deeper"):
        where_of(one, DEFINITION)


numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)


@given(numbers)
def test_a_vector_may_be_under_any_of_the_fields(values: list[float]) -> None:
    content = struct.pack(f"<{len(values)}f", *values)
    asked = SearchRequest().near_vector
    for field, name in (
        ("vector", ""), ("vector_bytes", ""), ("vectors", "a"), ("vector_for_targets", "a"),
        ("vector_per_target", "a"),
    ):  # fmt: skip
        asked.Clear()
        if field == "vector":
            asked.vector.extend(values)
        elif field == "vector_bytes":
            asked.vector_bytes = content
        elif field == "vector_per_target":
            asked.vector_per_target[name] = content
        else:
            getattr(asked, field).add(name=name, vector_bytes=content)
        assert named_vectors(asked) == [(name, values)]


def test_of_a_vector_in_several_fields_the_newest_counts() -> None:
    asked = SearchRequest().near_vector
    asked.vector.append(1)
    asked.vector_bytes = struct.pack("<f", 2)
    assert named_vectors(asked) == [("", [2])]
    asked.vectors.add(vector_bytes=struct.pack("<f", 3))
    assert named_vectors(asked) == [("", [3])]


def test_vectors_that_are_none() -> None:
    asked = SearchRequest().near_vector
    asked.vector_bytes = b"abc"
    with pytest.raises(HttpError, match="3 bytes"):
        named_vectors(asked)
    asked.vectors.add(vector_bytes=b"\0" * 8, type=Vectors.VECTOR_TYPE_MULTI_FP32)
    with pytest.raises(HttpError, match="vectors of several vectors"):
        named_vectors(asked)


class NoIndex:
    """An index of which nothing but the definition is asked."""

    definition = DEFINITION


def arguments(**fields: Any) -> dict[str, Any]:
    request = decoded(SearchRequest, SearchRequest(**fields).SerializeToString())
    given = arguments_of(request, NoIndex())  # type: ignore[arg-type]
    return {name: value for name, value in given.items() if value is not None}


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
    def reranks(**asked: Any) -> Any:
        return asked_of(SearchRequest(rerank=asked or None), DEFINITION).reranks

    assert reranks() == ()
    assert reranks(property="a") == (("a", None),)
    assert reranks(property="a", query="") == (("a", ""),)


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
        asked_of(SearchRequest(metadata={"vectors": ["other"]}), DEFINITION)


def test_a_certainty_is_a_distance() -> None:
    def furthest(**near: float) -> Any:
        asked = {"near_vector": {"vector_bytes": b"\0" * 4, **near}, "vector_distance": 0.5}
        return arguments(hybrid_search=asked)["hybrid"]["maxVectorDistance"]

    assert furthest() == 0.5
    assert furthest(distance=0.25) == 0.25
    assert furthest(certainty=0.75) == 0.5
    for number in (math.nan, math.inf):
        with pytest.raises(HttpError, match="no distance"):
            furthest(certainty=number)


def test_a_message_of_too_many_parts() -> None:
    request = SearchRequest()
    filters = request.filters.filters
    for _ in range(MOST_PARTS):
        filters.add()
    with pytest.raises(HttpError, match="100,000 parts"):
        refuse_unsupported(request)
    del filters[-1]
    assert refuse_unsupported(request) == MOST_PARTS


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_properties_of_a_batch_are_the_json_they_were(values: dict[str, Any]) -> None:
    request = BatchObjectsRequest()
    request.objects.add(collection="C").properties.non_ref_properties.update(values)
    read = decoded(BatchObjectsRequest, request.SerializeToString())
    refuse_unsupported(read)
    assert object_of(read.objects[0])["properties"] == values


def test_lists_and_objects_of_a_batch_have_fields_of_their_own() -> None:
    request = BatchObjectsRequest()
    held = request.objects.add(collection="C", uuid="u", tenant="t").properties
    held.int_array_properties.add(prop_name="ints", values=[2**60, -1])
    held.number_array_properties.add(prop_name="numbers", values_bytes=struct.pack("<d", 0.1))
    held.number_array_properties.add(prop_name="old", values=[0.5])
    held.text_array_properties.add(prop_name="texts", values=["a"])
    held.boolean_array_properties.add(prop_name="yeses", values=[False])
    held.empty_list_props.append("nothing")
    inner = held.object_properties.add(prop_name="maker").value
    inner.int_array_properties.add(prop_name="sizes", values=[1])
    held.object_array_properties.add(prop_name="makers").values.add()
    found = object_of(request.objects[0])
    assert found == {
        "class": "C",
        "id": "u",
        "tenant": "t",
        "properties": {
            **{"ints": [2**60, -1], "numbers": [0.1], "old": [0.5], "texts": ["a"]},
            **{"yeses": [False], "nothing": [], "maker": {"sizes": [1]}, "makers": [{}]},
        },
    }


def test_numbers_that_are_none() -> None:
    request = BatchObjectsRequest()
    request.objects.add().properties.non_ref_properties["n"] = math.nan
    # Read as it is: what a number may be is said by whoever stores it.
    assert math.isnan(object_of(request.objects[0])["properties"]["n"])
    request.objects.add().properties.number_array_properties.add(values_bytes=b"x")
    with pytest.raises(HttpError, match="no float64"):
        object_of(request.objects[1])


def test_properties_are_those_that_are_asked_for() -> None:
    values = {"title": "t", "sizes": [], "sold": False}

    def shown(**asked: Any) -> dict[str, Any]:
        request = SearchRequest(**asked)
        return dict(properties_of(values, chosen_of(request, DEFINITION)).fields)

    every = shown()
    assert every.keys() == KINDS.keys()
    assert every.keys() == shown(properties={"return_all_nonref_properties": True}).keys()
    assert every["year"].HasField("null_value")
    assert every["sizes"].list_value.WhichOneof("kind") == "int_values"
    assert every["sold"].WhichOneof("kind") == "bool_value"
    assert shown(properties={}) == {}
    assert shown(properties={"non_ref_properties": ["Title"]})["title"].text_value == "t"
    with pytest.raises(HttpError, match="no such property 'absent'"):
        shown(properties={"non_ref_properties": ["absent"]})


@given(st.binary(max_size=200), st.sampled_from([SearchRequest, BatchDeleteRequest]))
def test_any_bytes_are_a_message_or_a_problem(content: bytes, kind: Any) -> None:
    with suppress(HttpError):
        message = decoded(kind, content)
        refuse_unsupported(message)
        if kind is SearchRequest:
            arguments_of(message, NoIndex())  # type: ignore[arg-type]
        elif message.HasField("filters"):
            where_of(message.filters, DEFINITION)


def test_the_messages_are_those_of_the_source(tmp_path: Path) -> None:
    compile_messages(tmp_path / "again.binpb")
    again = (tmp_path / "again.binpb").read_bytes()
    assert again == COMPILED.read_bytes(), (
        "weaviate.proto changed: run scripts/compile_protobuf.py"
    )
