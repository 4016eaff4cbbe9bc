"""Messages: vectors in any field, limits, and the compiled protocol."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.compile_protobuf import COMPILED, compile_messages
from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.grpc.messages import (
    MAX_PARTS,
    SearchRequest,
    Vectors,
    check_message,
    parse_vectors,
)

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
        assert parse_vectors(asked) == [(name, values)]


def test_of_a_vector_in_several_fields_the_newest_counts() -> None:
    asked = SearchRequest().near_vector
    asked.vector.append(1)
    asked.vector_bytes = struct.pack("<f", 2)
    assert parse_vectors(asked) == [("", [2])]
    asked.vectors.add(vector_bytes=struct.pack("<f", 3))
    assert parse_vectors(asked) == [("", [3])]


def test_vectors_that_are_none() -> None:
    asked = SearchRequest().near_vector
    asked.vector_bytes = b"abc"
    with pytest.raises(HttpError, match="3 bytes"):
        parse_vectors(asked)
    asked.vectors.add(vector_bytes=b"\0" * 8, type=Vectors.VECTOR_TYPE_MULTI_FP32)
    with pytest.raises(HttpError, match="multi-vectors"):
        parse_vectors(asked)


def test_a_message_of_too_many_parts() -> None:
    request = SearchRequest()
    filters = request.filters.filters
    for _ in range(MAX_PARTS):
        filters.add()
    with pytest.raises(HttpError, match="100,000 parts"):
        check_message(request)
    del filters[-1]
    assert check_message(request) == MAX_PARTS


def test_the_messages_are_those_of_the_source(tmp_path: Path) -> None:
    compile_messages(tmp_path / "again.binpb")
    again = (tmp_path / "again.binpb").read_bytes()
    assert again == COMPILED.read_bytes(), (
        "weaviate.proto changed: run scripts/compile_protobuf.py"
    )
