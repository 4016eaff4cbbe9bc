"""The messages of weaviate.proto, as classes.

They are in a pool of their own, so that Weaviate's client, which registers messages of the same
names, can be used in the same process.

The values of objects as gRPC sends them: each by the type of its property.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, message_factory, struct_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from secondpass.server.http_errors import invalid
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.names import property_name
from secondpass.server.weaviate.properties import Property
from secondpass.server.weaviate.responses import refused

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


_FIELDS = {"boolean": "bool"}
_PACKED = {"number": "d", "int": "q"}
_LEFT_OUT = ("blob", "reference")
"""What is sent only where it is asked for by name, and references, which are not followed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A property that a client wants to see, and of an object those within."""

    property: Property
    within: tuple[Chosen, ...] = ()


def chosen_of(request: Any, definition: ClassDefinition) -> tuple[Chosen, ...]:
    """Return the properties that a SearchRequest wants: all if it does not say.

    Raises Problem (422) for one that there is not.
    """
    if not request.HasField("properties") or request.properties.return_all_nonref_properties:
        return _all(definition.properties)
    asked = request.properties
    return _named(asked.non_ref_properties, asked.object_properties, definition.properties)


def properties_of(values: Mapping[str, Any], chosen: Sequence[Chosen]) -> Any:
    """Return the message of the values of an object; what it lacks is null."""
    found = Properties()
    for one in chosen:
        value = values.get(one.property.name)
        _set(found.fields[one.property.name], value, one)
    return found


def _all(properties: Sequence[Property]) -> tuple[Chosen, ...]:
    return tuple(
        Chosen(one, _all(one.nested)) for one in properties if one.kind not in _LEFT_OUT
    )


def _named(
    names: Sequence[str], objects: Sequence[Any], known: Sequence[Property]
) -> tuple[Chosen, ...]:
    found = []
    for name in names:
        one = _property(name, known)
        if one.kind == "reference":
            raise refused(f"'{one.name}' is a reference: they are not followed here")
        found.append(Chosen(one, _all(one.nested)))
    for asked in objects:
        one = _property(asked.prop_name, known)
        within = _named(asked.primitive_properties, asked.object_properties, one.nested)
        found.append(Chosen(one, within))
    return tuple(found)


def _property(name: str, known: Sequence[Property]) -> Property:
    plain = property_name(name)
    for one in known:
        if one.name == plain:
            return one
    raise refused(f"no such property {plain!r}")


def _set(into: Any, value: Any, one: Chosen) -> None:
    kind = one.property.kind
    if value is None:
        into.null_value = 0
    elif one.property.many:
        _set_list(into.list_value, value, one)
    elif kind == "object":
        into.object_value.CopyFrom(_nested(value, one))
    elif kind == "geoCoordinates":
        into.geo_value.latitude = value["latitude"]
        into.geo_value.longitude = value["longitude"]
    else:
        setattr(into, f"{_FIELDS.get(kind, kind)}_value", value)


def _set_list(into: Any, values: Sequence[Any], one: Chosen) -> None:
    kind = one.property.kind
    held = getattr(into, f"{_FIELDS.get(kind, kind)}_values")
    # Also of an empty list the client is told the type.
    held.SetInParent()
    if kind in _PACKED:
        held.values = struct.pack(f"<{len(values)}{_PACKED[kind]}", *values)
    elif kind == "object":
        held.values.extend(_nested(value, one) for value in values)
    else:
        held.values.extend(values)


def _nested(values: Mapping[str, Any], one: Chosen) -> Any:
    there = [inner for inner in one.within if inner.property.name in values]
    return properties_of(values, there)
