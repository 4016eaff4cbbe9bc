"""Batches over gRPC: their objects in the form of JSON, and their replies."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.errors import clean_message, unprocessable
from secondpass.server.weaviate.grpc.messages import (
    MAX_PARTS,
    BatchDeleteReply,
    BatchObjectsReply,
    check_message,
    parse_vectors,
)
from secondpass.server.weaviate.writes import DeleteResult

_LIST_FIELDS = ("int_array_properties", "text_array_properties", "boolean_array_properties")


def parse_batch(message: Any) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Return the objects of a BatchObjectsRequest as JSON, and the errors, by position."""
    bodies, errors, parts_left = {}, {}, MAX_PARTS
    for position, object_ in enumerate(message.objects):
        try:
            parts_left -= check_message(object_, parts_left)
            bodies[position] = parse_object(object_)
        except HttpError as error:
            errors[position] = error.message
    return bodies, errors


def batch_reply(errors: Mapping[int, str], *, seconds: float) -> Any:
    """Build a BatchObjectsReply, which names the objects that were not stored."""
    reply = BatchObjectsReply(took=seconds)
    for position in sorted(errors):
        reply.errors.add(index=position, error=clean_message(errors[position]))
    return reply


def delete_reply(result: DeleteResult, *, verbose: bool, seconds: float) -> Any:
    """Build a BatchDeleteReply; `verbose` lists the ids."""
    reply = BatchDeleteReply(
        took=seconds,
        matches=result.matches,
        # For a dry run, Weaviate returns how many would be deleted.
        successful=min(result.matches, result.limit),
        failed=0,
    )
    for id_ in result.ids if verbose else ():
        reply.objects.add(uuid=uuid.UUID(id_).bytes, successful=True)
    return reply


def parse_object(message: Any) -> dict[str, Any]:
    """Return a BatchObject in the form of JSON, for `prepare_object`.

    Raises HttpError (422) for bytes that do not hold numbers, and for several unnamed vectors.
    """
    body: dict[str, Any] = {
        "class": message.collection,
        "id": message.uuid or None,
        "properties": _parse_properties(message.properties),
        "tenant": message.tenant or None,
    }
    vectors = parse_vectors(message)
    named = {name: numbers for name, numbers in vectors if name}
    unnamed = [numbers for name, numbers in vectors if not name]
    if len(unnamed) > 1:
        raise unprocessable(f"an object has one vector, not {len(unnamed)}")
    if unnamed:
        body["vector"] = unnamed[0]
    if named:
        body["vectors"] = named
    return body


def _parse_properties(message: Any) -> dict[str, Any]:
    values = {name: _parse_value(v) for name, v in message.non_ref_properties.fields.items()}
    for item in message.number_array_properties:
        values[item.prop_name] = _parse_float64(item)
    for field in _LIST_FIELDS:
        for item in getattr(message, field):
            values[item.prop_name] = list(item.values)
    for item in message.object_properties:
        values[item.prop_name] = _parse_properties(item.value)
    for item in message.object_array_properties:
        values[item.prop_name] = [_parse_properties(value) for value in item.values]
    for name in message.empty_list_props:
        values[name] = []
    return values


def _parse_value(message: Any) -> Any:
    """Return a google.protobuf.Value as JSON."""
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    value = getattr(message, kind)
    if kind == "struct_value":
        return {name: _parse_value(inner) for name, inner in value.fields.items()}
    return [_parse_value(inner) for inner in value.values] if kind == "list_value" else value


def _parse_float64(message: Any) -> list[float]:
    import numpy as np

    content = message.values_bytes
    if not content:
        return list(message.values)
    if len(content) % 8:
        raise unprocessable(
            f"property '{message.prop_name}': {len(content)} bytes do not hold float64 numbers"
        )
    numbers: list[float] = np.frombuffer(content, dtype="<f8").tolist()
    return numbers
