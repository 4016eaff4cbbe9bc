"""What a search found, as gRPC sends it.

Objects of a batch as JSON has them, which is checked by whoever stores them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.get_query import GetQuery
from secondpass.server.weaviate.grpc.messages import Chosen, SearchReply, Vectors, properties_of
from secondpass.server.weaviate.grpc.search_request import named_vectors, to_bytes
from secondpass.server.weaviate.responses import refused
from secondpass.server.weaviate.search import FoundObject

_LISTS = ("int_array_properties", "text_array_properties", "boolean_array_properties")


def object_of(message: Any) -> dict[str, Any]:
    """Return the JSON of a BatchObject; raises Problem (422) for bytes that are no numbers."""
    found: dict[str, Any] = {
        "class": message.collection,
        "id": message.uuid or None,
        "properties": _properties(message.properties),
        "tenant": message.tenant or None,
    }
    vectors = named_vectors(message)
    named = {name: numbers for name, numbers in vectors if name}
    plain = [numbers for name, numbers in vectors if not name]
    if len(plain) > 1:
        raise refused(f"an object has one vector, not {len(plain)}")
    if plain:
        found["vector"] = plain[0]
    if named:
        found["vectors"] = named
    return found


def _properties(message: Any) -> dict[str, Any]:
    found = {name: _plain(one) for name, one in message.non_ref_properties.fields.items()}
    for one in message.number_array_properties:
        found[one.prop_name] = _numbers(one)
    for field in _LISTS:
        for one in getattr(message, field):
            found[one.prop_name] = list(one.values)
    for one in message.object_properties:
        found[one.prop_name] = _properties(one.value)
    for one in message.object_array_properties:
        found[one.prop_name] = [_properties(value) for value in one.values]
    for name in message.empty_list_props:
        found[name] = []
    return found


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    held = getattr(value, kind)
    if kind == "struct_value":
        return {name: _plain(one) for name, one in held.fields.items()}
    return [_plain(one) for one in held.values] if kind == "list_value" else held


def _numbers(one: Any) -> list[float]:
    if not one.values_bytes:
        return list(one.values)
    if len(one.values_bytes) % 8:
        raise refused(f"property '{one.prop_name}': its bytes are no float64 numbers")
    numbers: list[float] = np.frombuffer(one.values_bytes, dtype="<f8").tolist()
    return numbers


def reply_of(
    found: Sequence[FoundObject],
    definition: ClassDefinition,
    *,
    wanted: Any,
    chosen: Sequence[Chosen],
    asked: GetQuery,
    took: float,
) -> Any:
    """Return a SearchReply; `wanted` is the metadata that was asked for, `took` in seconds."""
    reply = SearchReply(took=took)
    for one in found:
        result = reply.results.add()
        result.properties.target_collection = definition.name
        result.properties.non_ref_props.CopyFrom(properties_of(one.properties, chosen))
        _tell(result.metadata, one, wanted)
        for rerank in asked.reranks:
            result.metadata.rerank_score = one.reranked[rerank]
            result.metadata.rerank_score_present = True
        if asked.vectors:
            _tell_vector(result.metadata, one, definition)
    return reply


def _tell(metadata: Any, one: FoundObject, wanted: Any) -> None:
    values = {
        "creation_time_unix": one.object.created,
        "last_update_time_unix": one.object.updated,
        "distance": one.distance,
        "certainty": one.certainty,
        "score": one.score,
        "explain_score": one.explained,
        "is_consistent": True,
    }
    if wanted.uuid:
        metadata.id = one.object.id
        metadata.id_as_bytes = uuid.UUID(one.object.id).bytes
    for name, value in values.items():
        if getattr(wanted, name) and value is not None:
            setattr(metadata, name, value)
            setattr(metadata, f"{name}_present", True)


def _tell_vector(metadata: Any, one: FoundObject, definition: ClassDefinition) -> None:
    vector, name = one.object.vector, definition.vector_name
    if vector is None:
        return
    if name is None:
        metadata.vector_bytes = to_bytes(vector)
        return
    metadata.vectors.add(
        name=name, vector_bytes=to_bytes(vector), type=Vectors.VECTOR_TYPE_SINGLE_FP32
    )
