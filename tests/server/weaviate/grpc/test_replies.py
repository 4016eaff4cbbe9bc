"""Replies: the values of an object, each by the type of its property."""

from __future__ import annotations

from typing import Any

import pytest

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.grpc.messages import SearchRequest
from secondpass.server.weaviate.grpc.replies import properties_message
from secondpass.server.weaviate.grpc.search_request import parse_selection
from tests.server.weaviate.filter_oracle import KINDS
from tests.server.weaviate.test_filters import DEFINITION


def test_properties_are_those_that_are_asked_for() -> None:
    values = {"title": "t", "sizes": [], "sold": False}

    def shown(**asked: Any) -> dict[str, Any]:
        request = SearchRequest(**asked)
        return dict(properties_message(values, parse_selection(request, DEFINITION)).fields)

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
