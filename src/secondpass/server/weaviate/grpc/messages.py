"""Messages of weaviate.proto: their classes, decoding, limits, and vectors on the wire.

The classes are in a descriptor pool of their own, so that Weaviate's client, which registers
messages of the same names, can be used in the same process.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, message_factory, struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from secondpass.server.http_errors import invalid
from secondpass.server.weaviate.errors import unprocessable

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

_PACKAGE = "weaviate.v1"
MAX_PARTS = 100_000
"""How many messages a message may contain: one takes two bytes, and each is visited."""


def _load_classes() -> dict[str, Any]:
    compiled = files(__package__).joinpath("weaviate.binpb").read_bytes()
    pool = DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    pool.AddSerializedFile(file.SerializeToString())
    classes = message_factory.GetMessageClassesForFiles([file.name], pool)
    return {name.removeprefix(f"{_PACKAGE}."): class_ for name, class_ in classes.items()}


_CLASSES = _load_classes()

SearchRequest = _CLASSES["SearchRequest"]
SearchReply = _CLASSES["SearchReply"]
Filters = _CLASSES["Filters"]
BoostMessage = _CLASSES["Boost"]
Hybrid = _CLASSES["Hybrid"]
SearchOperatorOptions = _CLASSES["SearchOperatorOptions"]
Vectors = _CLASSES["Vectors"]
Properties = _CLASSES["Properties"]
BatchObjectsRequest = _CLASSES["BatchObjectsRequest"]
BatchObjectsReply = _CLASSES["BatchObjectsReply"]
BatchDeleteRequest = _CLASSES["BatchDeleteRequest"]
BatchDeleteReply = _CLASSES["BatchDeleteReply"]


def decode(message_class: Any, content: bytes) -> Any:
    """Decode a message; raises HttpError (400) for bytes that are not valid."""
    try:
        return message_class.FromString(content)
    except DecodeError as error:
        raise invalid(f"the request is not a valid {message_class.DESCRIPTOR.name}") from error


def check_message(message: Any, limit: int = MAX_PARTS) -> int:
    """Return how many messages a message contains.

    Raises HttpError (422) for more than `limit`, and for a field that is not supported.
    """
    count = 0
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        type_ = field.message_type
        if type_.name == "Unsupported":
            raise unprocessable(f"{field.name} is not supported here")
        if type_.GetOptions().map_entry or type_.file.name != message.DESCRIPTOR.file.name:
            # Values of google.protobuf.Struct, which contain nothing of Weaviate's.
            continue
        # By len, as versions of protobuf name the label of a repeated field differently.
        for part in value if hasattr(value, "__len__") else [value]:
            count += 1
            if count > limit:
                raise unprocessable(f"the message has more than {MAX_PARTS:,} parts")
            count += check_message(part, limit - count)
    return count


def parse_vectors(message: Any) -> list[tuple[str, list[float]]]:
    """Return the vectors in a message, each with its name, "" for an unnamed one.

    Reads the fields of older and newer clients. Raises HttpError (422) for bytes that are not
    float32 numbers, and for multi-vectors.
    """
    return list(_parse_vectors(message))


def vector_bytes(vector: Embedding) -> bytes:
    """Return a vector as it is sent: float32, little-endian."""
    return vector.astype("<f4").tobytes()


def _parse_vectors(message: Any) -> Iterator[tuple[str, list[float]]]:
    # The newest field first: a client that sends a vector in several fields means this one.
    fields = message.DESCRIPTOR.fields_by_name
    if message.vectors:
        for vector in message.vectors:
            if vector.type == Vectors.VECTOR_TYPE_MULTI_FP32:
                raise unprocessable("multi-vectors are not supported here")
            yield vector.name, _parse_float32(vector.vector_bytes)
    elif "vector_for_targets" in fields and message.vector_for_targets:
        for target in message.vector_for_targets:
            yield from ((target.name, numbers) for _, numbers in _parse_vectors(target))
    elif "vector_per_target" in fields and message.vector_per_target:
        for name, content in message.vector_per_target.items():
            yield name, _parse_float32(content)
    elif message.vector_bytes:
        yield "", _parse_float32(message.vector_bytes)
    elif "vector" in fields and message.vector:
        yield "", list(message.vector)


def _parse_float32(content: bytes) -> list[float]:
    import numpy as np

    if len(content) % 4:
        raise unprocessable(f"a vector of {len(content)} bytes does not hold float32 numbers")
    numbers: list[float] = np.frombuffer(content, dtype="<f4").tolist()
    return numbers
