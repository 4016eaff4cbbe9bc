"""Vectors on the wire: float32, little-endian, under one of several fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from secondpass.server.weaviate.grpc.messages import Vectors
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


def named_vectors(message: Any) -> list[tuple[str, list[float]]]:
    """Return the vectors that a message holds, each with its name, empty where it has none.

    Whatever the age of the client that sent it. Raises Problem (422) for bytes that are no
    vector, and for several vectors in one.
    """
    return list(_vectors(message))


def to_bytes(vector: Embedding) -> bytes:
    """Return a vector as it is sent."""
    return vector.astype("<f4").tobytes()


def _vectors(message: Any) -> Iterator[tuple[str, list[float]]]:
    # The newest way first: where a client sends the same in several, that one counts.
    fields = message.DESCRIPTOR.fields_by_name
    if message.vectors:
        for one in message.vectors:
            if one.type == Vectors.VECTOR_TYPE_MULTI_FP32:
                raise refused("vectors of several vectors are not supported here")
            yield one.name, _numbers(one.vector_bytes)
    elif "vector_for_targets" in fields and message.vector_for_targets:
        for one in message.vector_for_targets:
            yield from ((one.name, numbers) for _, numbers in _vectors(one))
    elif "vector_per_target" in fields and message.vector_per_target:
        yield from ((n, _numbers(content)) for n, content in message.vector_per_target.items())
    elif message.vector_bytes:
        yield "", _numbers(message.vector_bytes)
    elif "vector" in fields and message.vector:
        yield "", list(message.vector)


def _numbers(content: bytes) -> list[float]:
    import numpy as np

    if len(content) % 4:
        raise refused(f"a vector has {len(content)} bytes, which are no float32 numbers")
    numbers: list[float] = np.frombuffer(content, dtype="<f4").tolist()
    return numbers
