"""Writes: storing objects, with auto-schema and embedding; batches; deletion by a filter."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.filters import Where
from secondpass.server.weaviate.get_query import MAX_RESULTS
from secondpass.server.weaviate.names import parse_class_name, parse_property_name, parse_uuid
from secondpass.server.weaviate.objects import StoredObject, parse_object_vector
from secondpass.server.weaviate.properties import (
    complete_property,
    parse_rfc3339,
    validate_values,
)
from secondpass.server.weaviate.search import filter_sql

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BEACON = re.compile(r"weaviate://[^/]*/([A-Z][_0-9A-Za-z]*)/.+")
# An index is compacted after so many writes or objects, and then in proportion to its size.
_COMPACT_WRITES, _COMPACT_OBJECTS = 100, 1000


@dataclass(frozen=True, slots=True)
class NewObject:
    """A validated object that is not stored yet."""

    id: str
    properties: Mapping[str, Any]
    vector: Embedding | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one object of a batch: `stored` as JSON, or an `error`.

    `body` is the object as the client sent it.
    """

    body: Any
    stored: Mapping[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """The outcome of a batch delete.

    `matches` counts the objects that pass the filter; `ids` are those deleted, at most `limit`,
    or those that a dry run would delete.
    """

    matches: int
    ids: Sequence[str]
    dry_run: bool
    limit: int = MAX_RESULTS


def prepare_object(
    index: ClassIndex, body: Mapping[str, Any], *, object_id: str | None = None
) -> NewObject:
    """Validate an object's JSON; `object_id` is the id in the path, if there is one.

    Declares properties that are not declared yet, and fixes the dimension of the class's
    vectors with the first one. Raises HttpError (422).
    """
    body_id = body.get("id")
    if object_id is None:
        object_id = str(uuid.uuid4()) if body_id is None else parse_uuid(body_id)
    elif body_id is not None and parse_uuid(body_id) != object_id:
        raise unprocessable("the id of the object is not that of the path")
    if body.get("tenant") is not None:
        raise unprocessable(f"class '{index.definition.name}' has multi-tenancy disabled")
    properties = body.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict):
        raise unprocessable("properties must be an object")
    _declare_properties(index, properties)
    definition = index.definition
    values = validate_values(definition.properties, properties, definition.name)
    vector = parse_object_vector(body, definition)
    if vector is not None:
        # Last: a rejected object must not fix the dimension of the class.
        _start_vectors(index, len(vector))
    return NewObject(object_id, values, vector)


def store_objects(index: ClassIndex, objects: Sequence[NewObject]) -> list[StoredObject]:
    """Store objects in one atomic step, replacing those of the same ids; blocks.

    The creation time of a replaced object stays, and so does its vector where the text that
    is embedded is the same.
    """
    definition = index.definition
    previous = index.get_objects([new.id for new in objects], vectors=definition.embeds)
    now = time.time_ns() // 1_000_000
    stored: list[StoredObject] = []
    to_embed: list[int] = []
    for new in objects:
        old = previous.get(new.id)
        vector = new.vector
        if vector is None and definition.embeds:
            text = definition.vector_text(new.properties)
            if old is not None and text == definition.vector_text(old.properties):
                vector = old.vector
            else:
                to_embed.append(len(stored))
        created = now if old is None else old.created
        stored.append(StoredObject(new.id, new.properties, created, now, vector))
    if to_embed:
        _embed(index, stored, to_embed)
    index.store.upsert([object_.to_passage(definition) for object_ in stored])
    _compact_if_due(index, len(stored))
    return stored


def merge_properties(old: StoredObject, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of an object after a merge: a property set to null is removed."""
    changes = body.get("properties")
    if changes is not None and not isinstance(changes, dict):
        raise unprocessable("properties must be an object")
    changes = {str(key)[:1].lower() + str(key)[1:]: v for key, v in (changes or {}).items()}
    return {**body, "properties": {**old.properties, **changes}}


def store_batch(classes: Classes, tenant: str, bodies: Sequence[Any]) -> list[BatchResult]:
    """Store objects, those of a class in one atomic step; return a result for each.

    An invalid object fails alone. Of several objects with the same id the last is stored.
    """
    results = [BatchResult(body) for body in bodies]
    positions: dict[str, list[int]] = {}
    for position, body in enumerate(bodies):
        try:
            if not isinstance(body, dict):
                raise unprocessable("an object must be a JSON object")
            name = parse_class_name(body.get("class"))
            positions.setdefault(name, []).append(position)
        except HttpError as error:
            results[position] = BatchResult(body, error=error.message)
    for name, own in positions.items():
        try:
            with classes.lock(tenant, name, create=True) as index:
                stored = _store_class(index, [bodies[position] for position in own])
        except HttpError as error:
            if error.status != 422:
                raise
            stored = [BatchResult(bodies[position], error=error.message) for position in own]
        for position, result in zip(own, stored, strict=True):
            results[position] = result
    return results


def delete_batch(index: ClassIndex, where: Where | None, *, dry_run: bool) -> DeleteResult:
    """Delete the objects that pass a filter, at most MAX_RESULTS; raises HttpError (422)."""
    if where is None:
        raise unprocessable("match needs a where")
    sql_filter = filter_sql(index, where)
    matches = index.count(sql_filter)
    hits = index.read(lambda store: store.listed(sql_filter, limit=MAX_RESULTS))
    ids = [hit.id for hit in hits]
    if not dry_run:
        index.store.delete(ids)
    return DeleteResult(matches, ids, dry_run)


def extend_declarations(
    declarations: Sequence[Mapping[str, Any]], values: Mapping[Any, Any]
) -> list[Mapping[str, Any]]:
    """Return the declarations with those added that these values lack (auto-schema).

    Raises HttpError (422) for a value whose type cannot be inferred.
    """
    extended = list(declarations)
    positions = {item["name"].lower(): position for position, item in enumerate(extended)}
    for key, value in values.items():
        name = parse_property_name(key)
        if value is None:
            continue
        position = positions.get(name.lower())
        if position is None:
            positions[name.lower()] = len(extended)
            extended.append(complete_property({"name": name, **_infer(name, value)}))
        elif extended[position]["name"] == name and "nestedProperties" in extended[position]:
            nested: Sequence[Mapping[str, Any]] = extended[position]["nestedProperties"]
            for item in value if isinstance(value, list) else [value]:
                nested = extend_declarations(nested, item) if isinstance(item, dict) else nested
            extended[position] = {**extended[position], "nestedProperties": nested}
    return extended


def _infer(name: str, value: Any) -> dict[str, Any]:
    """Return the data type of a value, as in a declaration."""
    if not isinstance(value, list):
        return _data_type(_infer_kind(name, value), [value])
    beacons = [_BEACON.match(str(v.get("beacon"))) for v in value if isinstance(v, dict)]
    if beacons and all(beacons) and len(beacons) == len(value):
        return {"dataType": sorted({match[1] for match in beacons if match is not None})}
    kinds = {_infer_kind(name, item) for item in value}
    if kinds <= {"text", "date", "uuid"}:
        kinds = kinds if len(kinds) == 1 else {"text"}
    if len(kinds) > 1:
        raise unprocessable(
            f"property '{name}': its values are of several types: {sorted(kinds)}"
        )
    return _data_type(f"{kinds.pop()}[]", value)


def _data_type(data_type: str, values: Iterable[Any]) -> dict[str, Any]:
    if data_type.removesuffix("[]") != "object":
        return {"dataType": [data_type]}
    nested: list[Mapping[str, Any]] = []
    for value in values:
        nested = extend_declarations(nested, value)
    return {"dataType": [data_type], "nestedProperties": nested}


def _infer_kind(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return "uuid"
        try:
            parse_rfc3339(value)
        except ValueError:
            return "text"
        return "date"
    if isinstance(value, dict):
        coordinates = value.keys() == {"latitude", "longitude"}
        return "geoCoordinates" if coordinates else "object"
    raise unprocessable(f"property '{name}': the type of {value!r:.80} cannot be inferred")


def _declare_properties(index: ClassIndex, properties: Mapping[Any, Any]) -> None:
    declaration = index.declaration
    extended = extend_declarations(declaration["properties"], properties)
    if extended != declaration["properties"]:
        index.save_declaration({**declaration, "properties": extended})


def _start_vectors(index: ClassIndex, dimension: int) -> None:
    store = index.store
    if not store.dimension:
        store.start_vectors(dimension)
    if dimension != store.dimension:
        raise unprocessable(
            f"vector lengths don't match: {dimension} is not {store.dimension}, as in the class"
        )


def _embed(index: ClassIndex, objects: list[StoredObject], positions: Sequence[int]) -> None:
    """Embed the objects at these positions, in place."""
    definition, embedder = index.definition, index.ingest_embedder()
    texts = [definition.vector_text(objects[position].properties) for position in positions]
    for position, vector in zip(positions, embedder.encode(texts), strict=True):
        objects[position] = replace(objects[position], vector=vector)
    embedder.remember(
        [
            replace(objects[position].to_passage(definition), text=text)
            for position, text in zip(positions, texts, strict=True)
        ]
    )


def _compact_if_due(index: ClassIndex, objects: int) -> None:
    """Merge the small files of past writes, once there are many for the index's size."""
    index.writes, index.written = index.writes + 1, index.written + objects
    if index.writes < _COMPACT_WRITES and index.written < _COMPACT_OBJECTS:
        return
    rows = index.store.count()
    if index.writes >= max(_COMPACT_WRITES, rows // 1000) or index.written >= 0.2 * rows:
        index.store.optimize()
        index.writes = index.written = 0


def _store_class(index: ClassIndex, bodies: Sequence[Any]) -> list[BatchResult]:
    """Store the objects of one class; return a result for each."""
    prepared: list[NewObject | HttpError] = []
    for body in bodies:
        try:
            prepared.append(prepare_object(index, body))
        except HttpError as error:
            prepared.append(error)
    last = {new.id: new for new in prepared if isinstance(new, NewObject)}
    stored = {o.id: o for o in store_objects(index, list(last.values()))} if last else {}
    return [
        BatchResult(body, error=new.message)
        if isinstance(new, HttpError)
        else BatchResult(body, stored[new.id].to_json(index.definition))
        for body, new in zip(bodies, prepared, strict=True)
    ]
