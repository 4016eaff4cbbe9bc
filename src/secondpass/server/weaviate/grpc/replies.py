"""What a search found, as gRPC sends it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from secondpass.server.weaviate.both_passes import Asked
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.found import Found
from secondpass.server.weaviate.grpc.messages import SearchReply, Vectors
from secondpass.server.weaviate.grpc.values import Chosen, properties_of
from secondpass.server.weaviate.grpc.vectors import to_bytes


def reply_of(
    found: Sequence[Found],
    definition: ClassDefinition,
    *,
    wanted: Any,
    chosen: Sequence[Chosen],
    asked: Asked,
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


def _tell(metadata: Any, one: Found, wanted: Any) -> None:
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


def _tell_vector(metadata: Any, one: Found, definition: ClassDefinition) -> None:
    vector, name = one.object.vector, definition.vector_name
    if vector is None:
        return
    if name is None:
        metadata.vector_bytes = to_bytes(vector)
        return
    metadata.vectors.add(
        name=name, vector_bytes=to_bytes(vector), type=Vectors.VECTOR_TYPE_SINGLE_FP32
    )
