"""Valid gRPC calls, and mutations of them: random field values and flipped bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor

from secondpass.server.weaviate.grpc.messages import (
    BatchDeleteRequest,
    BatchObjectsRequest,
    SearchRequest,
)

FAILURE_CODES = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_WHERE = {"operator": "OPERATOR_EQUAL", "value_text": "sea", "target": {"property": "text"}}
_VECTOR = b"\0\0\x80\x3f" * 2
GOOD = (
    ("Search", SearchRequest(collection="Doc", limit=2, filters=_WHERE)),
    ("Search", SearchRequest(collection="Doc", bm25_search={"query": "sea"}, autocut=1)),
    ("Search", SearchRequest(collection="Doc", near_vector={"vector_bytes": _VECTOR})),
    ("Search", SearchRequest(collection="Made", near_text={"query": ["sea"], "distance": 1})),
    (
        "Search",
        SearchRequest(
            collection="Made",
            hybrid_search={"query": "sea", "alpha": 0.5},
            rerank={"property": "text", "query": "sea"},
            metadata={"uuid": True, "vector": True, "score": True},
            properties={"non_ref_properties": ["text"]},
        ),
    ),
    (
        "BatchObjects",
        BatchObjectsRequest(objects=[{"collection": "Doc", "vector_bytes": _VECTOR}]),
    ),
    ("BatchDelete", BatchDeleteRequest(collection="Doc", filters=_WHERE, dry_run=True)),
)
_NUMBERS = (0, 1, -1, 2, 3, 10, 10_001, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**32 - 1)
_REALS = (0.0, 0.5, -1.0, 1.0, 2.0, 1e308, 1e-300, float("inf"), float("-inf"), float("nan"))
_TEXTS = ("", "text", "Doc", "Made", "sea", "id", "_id", "\0", "x" * 5000, "' OR 1=1 --", "🌊")
_BYTES = (b"", b"abc", b"\0" * 4, _VECTOR, b"\xff" * 8, b"\0\0\xc0\x7f" * 2)
_DEPTH = 6


def mutate_message(good: Any, rng: random.Random) -> bytes:
    """Return a mutated message, serialized."""
    message = type(good)()
    message.CopyFrom(good)
    for _ in range(rng.randint(1, 3)):
        _change(message, rng, _DEPTH)
    content = bytearray(message.SerializeToString())
    if content and rng.random() < 0.2:
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def send_mutated_call(channel: Any, rng: random.Random) -> tuple[str, grpc.StatusCode, float]:
    """Send one mutated call; return its name and content, the status code, and the seconds."""
    name, good = rng.choice(GOOD)
    content = mutate_message(good, rng)
    send = channel.unary_unary(f"/weaviate.v1.Weaviate/{name}")
    started = time.perf_counter()
    try:
        send(content, timeout=60)
        code = grpc.StatusCode.OK
    except grpc.RpcError as error:
        failure: Any = error
        code = failure.code()
    return f"{name} {content[:200]!r}", code, time.perf_counter() - started


def _change(message: Any, rng: random.Random, depth: int) -> None:
    field = rng.choice(message.DESCRIPTOR.fields)
    if rng.random() < 0.1:
        message.ClearField(field.name)
        return
    value = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        _change_within(value, field, rng, depth)
    elif hasattr(value, "append"):
        value.extend(_any(field, rng) for _ in range(rng.randint(1, 4)))
    else:
        setattr(message, field.name, _any(field, rng))


def _change_within(value: Any, field: Any, rng: random.Random, depth: int) -> None:
    if not depth:
        return
    if field.message_type.GetOptions().map_entry:
        if isinstance(value, Mapping) and field.message_type.fields[1].message_type is None:
            value[rng.choice(_TEXTS)] = rng.choice(_BYTES)
        return
    if hasattr(value, "add"):
        value = value.add() if not value or rng.random() < 0.5 else rng.choice(value)
    else:
        value.SetInParent()
    if value.DESCRIPTOR.fields:
        for _ in range(rng.randint(1, 3)):
            _change(value, rng, depth - 1)


def _any(field: Any, rng: random.Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        binary = field.type == FieldDescriptor.TYPE_BYTES
        return rng.choice(_BYTES if binary else _TEXTS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return rng.choice(_REALS)
    ranges = {
        FieldDescriptor.CPPTYPE_UINT32: range(2**32),
        FieldDescriptor.CPPTYPE_INT32: range(-(2**31), 2**31),
        FieldDescriptor.CPPTYPE_ENUM: range(20),
    }
    right = ranges.get(kind, range(-(2**63), 2**63))
    return rng.choice([number for number in _NUMBERS if number in right])
