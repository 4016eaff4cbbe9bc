"""Objects of a batch over gRPC, read as the JSON that they are over REST."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.grpc.batch import parse_object
from secondpass.server.weaviate.grpc.messages import (
    BatchObjectsRequest,
    check_message,
    decode,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_properties_of_a_batch_are_the_json_they_were(values: dict[str, Any]) -> None:
    request = BatchObjectsRequest()
    request.objects.add(collection="C").properties.non_ref_properties.update(values)
    read = decode(BatchObjectsRequest, request.SerializeToString())
    check_message(read)
    assert parse_object(read.objects[0])["properties"] == values


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
    found = parse_object(request.objects[0])
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
    assert math.isnan(parse_object(request.objects[0])["properties"]["n"])
    request.objects.add().properties.number_array_properties.add(values_bytes=b"x")
    with pytest.raises(HttpError, match="do not hold float64"):
        parse_object(request.objects[1])
