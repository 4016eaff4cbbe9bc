"""Search replies: hits as gRPC messages, each value by the type of its property."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.get_query import GetQuery
from secondpass.server.weaviate.grpc.messages import (
    Properties,
    SearchReply,
    Vectors,
    vector_bytes,
)
from secondpass.server.weaviate.grpc.search_request import SelectedProperty
from secondpass.server.weaviate.search import SearchHit

_FIELDS = {"boolean": "bool"}
_PACKED_FORMATS = {"number": "d", "int": "q"}


def search_reply(
    hits: Sequence[SearchHit],
    query: GetQuery,
    definition: ClassDefinition,
    *,
    metadata: Any,
    selection: Sequence[SelectedProperty],
    seconds: float,
) -> Any:
    """Build a SearchReply; `metadata` is the MetadataRequest, `seconds` the time it took."""

    def add_result(results: Any, hit: SearchHit) -> None:
        result = results.add()
        result.properties.target_collection = definition.name
        values = properties_message(hit.properties, selection)
        result.properties.non_ref_props.CopyFrom(values)
        _set_metadata(result.metadata, hit, metadata)
        for rerank in query.reranks:
            result.metadata.rerank_score = hit.rerank_scores[rerank]
            result.metadata.rerank_score_present = True
        if query.vectors:
            _set_vector(result.metadata, hit, definition)

    reply = SearchReply(took=seconds)
    for hit in hits:
        if hit.group is None:
            add_result(reply.results, hit)
            continue
        group = reply.group_by_results.add()
        group.name, group.number_of_objects = hit.group.value, len(hit.group.hits)
        if hit.group.distances is not None:
            group.min_distance, group.max_distance = hit.group.distances
        for rerank in query.reranks:
            group.rerank.score = hit.rerank_scores[rerank]
        for one in hit.group.hits:
            add_result(group.objects, one)
    return reply


def properties_message(values: Mapping[str, Any], selection: Sequence[SelectedProperty]) -> Any:
    """Build the message of an object's values; missing ones are null."""
    message = Properties()
    for selected in selection:
        name = selected.property.name
        _set_value(message.fields[name], values.get(name), selected)
    return message


def _set_value(field: Any, value: Any, selected: SelectedProperty) -> None:
    kind = selected.property.kind
    if value is None:
        field.null_value = 0
    elif selected.property.is_list:
        _set_list(field.list_value, value, selected)
    elif kind == "object":
        field.object_value.CopyFrom(_object_message(value, selected))
    elif kind == "geoCoordinates":
        field.geo_value.latitude = value["latitude"]
        field.geo_value.longitude = value["longitude"]
    else:
        setattr(field, f"{_FIELDS.get(kind, kind)}_value", value)


def _set_list(field: Any, values: Sequence[Any], selected: SelectedProperty) -> None:
    kind = selected.property.kind
    message = getattr(field, f"{_FIELDS.get(kind, kind)}_values")
    # Clients read the type of a list from the field that is set, of an empty list, too.
    message.SetInParent()
    if kind in _PACKED_FORMATS:
        message.values = struct.pack(f"<{len(values)}{_PACKED_FORMATS[kind]}", *values)
    elif kind == "object":
        message.values.extend(_object_message(value, selected) for value in values)
    else:
        message.values.extend(values)


def _object_message(values: Mapping[str, Any], selected: SelectedProperty) -> Any:
    present = [inner for inner in selected.nested if inner.property.name in values]
    return properties_message(values, present)


def _set_metadata(message: Any, hit: SearchHit, requested: Any) -> None:
    values = {
        "creation_time_unix": hit.object.created,
        "last_update_time_unix": hit.object.updated,
        "distance": hit.distance,
        "certainty": hit.certainty,
        "score": hit.score,
        "explain_score": hit.explanation,
        "is_consistent": True,
    }
    if requested.uuid:
        message.id = hit.object.id
        message.id_as_bytes = uuid.UUID(hit.object.id).bytes
    for name, value in values.items():
        if getattr(requested, name) and value is not None:
            setattr(message, name, value)
            setattr(message, f"{name}_present", True)


def _set_vector(message: Any, hit: SearchHit, definition: ClassDefinition) -> None:
    vector, name = hit.object.vector, definition.vector_name
    if vector is None:
        return
    content = vector_bytes(vector)
    if name is None:
        message.vector_bytes = content
    else:
        type_ = Vectors.VECTOR_TYPE_SINGLE_FP32
        message.vectors.add(name=name, vector_bytes=content, type=type_)
