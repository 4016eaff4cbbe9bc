"""The messages of weaviate.proto, as classes.

They are in a pool of their own, so that Weaviate's client, which registers messages of the same
names, can be used in the same process.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, message_factory, struct_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from secondpass.server.http_errors import invalid

_PACKAGE = "weaviate.v1"


def _loaded() -> dict[str, Any]:
    described = files(__package__).joinpath("weaviate.binpb").read_bytes()
    pool = DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(described).file
    pool.AddSerializedFile(file.SerializeToString())
    found = message_factory.GetMessageClassesForFiles([file.name], pool)
    return {name.removeprefix(f"{_PACKAGE}."): made for name, made in found.items()}


_MADE = _loaded()

SearchRequest = _MADE["SearchRequest"]
SearchReply = _MADE["SearchReply"]
Filters = _MADE["Filters"]
Hybrid = _MADE["Hybrid"]
SearchOperatorOptions = _MADE["SearchOperatorOptions"]
Vectors = _MADE["Vectors"]
Properties = _MADE["Properties"]
BatchObjectsRequest = _MADE["BatchObjectsRequest"]
BatchObjectsReply = _MADE["BatchObjectsReply"]
BatchDeleteRequest = _MADE["BatchDeleteRequest"]
BatchDeleteReply = _MADE["BatchDeleteReply"]


def decoded(kind: Any, content: bytes) -> Any:
    """Return the message of a class above; raises Problem (400) for bytes that are none."""
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise invalid(f"the request is no {kind.DESCRIPTOR.name}") from error
