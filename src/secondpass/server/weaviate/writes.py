"""Storing objects: checked, embedded where the class embeds, in one atomic step.

Properties that objects bring and nobody declared: the database declares them itself.

Many objects at once: stored, each with its own result, or removed by a filter.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.get_query import MOST, condition_of
from secondpass.server.weaviate.names import class_name, object_id, property_name
from secondpass.server.weaviate.objects import StoredObject, given_vector
from secondpass.server.weaviate.properties import checked_values, declared, moment, plain_json
from secondpass.server.weaviate.responses import refused, shown

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BEACON = re.compile(r"weaviate://[^/]*/([A-Z][_0-9A-Za-z]*)/.+")


def grown(
    known: Sequence[Mapping[str, Any]], values: Mapping[Any, Any]
) -> list[Mapping[str, Any]]:
    """Return declarations of properties that cover these values: the known, and new ones.

    Raises Problem (422) for a value whose type nobody can tell.
    """
    found = list(known)
    places = {one["name"].lower(): place for place, one in enumerate(found)}
    for key, value in values.items():
        name = property_name(key)
        if value is None:
            continue
        place = places.get(name.lower())
        if place is None:
            places[name.lower()] = len(found)
            found.append(declared({"name": name, **_inferred(name, value)}))
        elif found[place]["name"] == name and "nestedProperties" in found[place]:
            nested: Sequence[Mapping[str, Any]] = found[place]["nestedProperties"]
            for one in value if isinstance(value, list) else [value]:
                nested = grown(nested, one) if isinstance(one, dict) else nested
            found[place] = {**found[place], "nestedProperties": nested}
    return found


def _inferred(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        return _declaration(name, _kind(name, value), [value])
    beacons = [_BEACON.match(str(v.get("beacon"))) for v in value if isinstance(v, dict)]
    if beacons and all(beacons) and len(beacons) == len(value):
        return {"dataType": sorted({match[1] for match in beacons if match is not None})}
    kinds = {_kind(name, one) for one in value}
    if kinds <= {"text", "date", "uuid"}:
        kinds = kinds if len(kinds) == 1 else {"text"}
    if len(kinds) > 1:
        raise refused(f"property '{name}': its values are of several types: {sorted(kinds)}")
    return _declaration(name, f"{kinds.pop()}[]", value)


def _declaration(name: str, kind: str, values: Iterable[Any]) -> dict[str, Any]:
    if kind.removesuffix("[]") != "object":
        return {"dataType": [kind]}
    nested: list[Mapping[str, Any]] = []
    for one in values:
        nested = grown(nested, one)
    return {"dataType": [kind], "nestedProperties": nested}


def _kind(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return "uuid"
        try:
            moment(value)
        except ValueError:
            return "text"
        return "date"
    if isinstance(value, dict):
        place = value.keys() == {"latitude", "longitude"}
        return "geoCoordinates" if place else "object"
    raise refused(f"property '{name}': the type of {value!r:.80} cannot be told")


# An index is tidied after so many writes or objects, and then in proportion to its size.
_WRITES, _OBJECTS = 100, 1000


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object that a client sent and that was checked."""

    id: str
    properties: Mapping[str, Any]
    vector: Embedding | None = None


def read_object(
    into: ClassIndex, body: Mapping[str, Any], *, name: str | None = None
) -> NewObject:
    """Return the object of a request, by this id if it has one.

    Declares properties that nobody has declared. Raises Problem (422).
    """
    given = body.get("id")
    if name is None:
        name = str(uuid.uuid4()) if given is None else object_id(given)
    elif given is not None and object_id(given) != name:
        raise refused("the id of the object is not that of the path")
    if body.get("tenant") is not None:
        raise refused(f"class '{into.definition.name}' has multi-tenancy disabled")
    properties = body.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict):
        raise refused("properties must be an object")
    _declare(into, properties)
    definition = into.definition
    values = checked_values(definition.properties, properties, definition.name)
    vector = given_vector(body, definition)
    if vector is not None:
        # Last: an object that is refused must not fix the length for the class.
        _start_vectors(into, len(vector))
    return NewObject(name, values, vector)


def put(into: ClassIndex, objects: Sequence[NewObject]) -> list[StoredObject]:
    """Store objects, replacing those of the same ids, of which the time of making stays.

    Blocks while vectors are made; one that is of the same text is not made again.
    """
    definition = into.definition
    before = into.found([one.id for one in objects], vectors=definition.embeds)
    now = time.time_ns() // 1_000_000
    made: list[StoredObject] = []
    bare: list[int] = []
    for new in objects:
        old = before.get(new.id)
        vector = new.vector
        if vector is None and definition.embeds:
            text = definition.vector_text(new.properties)
            if old is not None and text == definition.vector_text(old.properties):
                vector = old.vector
            else:
                bare.append(len(made))
        created = now if old is None else old.created
        made.append(StoredObject(new.id, new.properties, created, now, vector))
    if bare:
        _embed(into, made, bare)
    into.store.upsert([one.to_passage(definition) for one in made])
    tidy(into, len(made))
    return made


def merged(old: StoredObject, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an object, changed as a client asks: null removes a property."""
    asked = body.get("properties")
    if asked is not None and not isinstance(asked, dict):
        raise refused("properties must be an object")
    small = {str(key)[:1].lower() + str(key)[1:]: v for key, v in (asked or {}).items()}
    return {**body, "properties": {**old.properties, **small}}


def tidy(into: ClassIndex, objects: int) -> None:
    """Merge the small files that writes leave, once there are many for the index's size."""
    into.writes, into.written = into.writes + 1, into.written + objects
    if into.writes < _WRITES and into.written < _OBJECTS:
        return
    rows = into.store.count_passages()
    if into.writes >= max(_WRITES, rows // 1000) or into.written >= 0.2 * rows:
        into.store.optimize()
        into.writes = into.written = 0


def _declare(into: ClassIndex, properties: Mapping[Any, Any]) -> None:
    declaration = into.declaration
    found = grown(declaration["properties"], properties)
    if found != declaration["properties"]:
        into.declare({**declaration, "properties": found})


def _start_vectors(into: ClassIndex, length: int) -> None:
    store = into.store
    if not store.dimension:
        store.enable_vectors(length)
    if length != store.dimension:
        raise refused(
            f"vector lengths don't match: {length} is not {store.dimension}, as in the class"
        )


def _embed(into: ClassIndex, made: list[StoredObject], bare: Sequence[int]) -> None:
    definition, encoder = into.definition, into.ingest_embedder()
    texts = [definition.vector_text(made[place].properties) for place in bare]
    for place, vector in zip(bare, encoder.encode(texts), strict=True):
        made[place] = replace(made[place], vector=vector)
    encoder.remember(
        [
            replace(made[place].to_passage(definition), text=text)
            for place, text in zip(bare, texts, strict=True)
        ]
    )


def store_batch(classes: Classes, tenant: str, given: list[Any]) -> list[dict[str, Any]]:
    """Store objects, those of a class in one atomic step; return each with its result.

    An object that cannot be stored fails alone. Of several with one id the last counts.
    """
    results: list[dict[str, Any]] = [{} for _ in given]
    places: dict[str, list[int]] = {}
    for place, body in enumerate(given):
        try:
            if not isinstance(body, dict):
                raise refused("an object must be a JSON object")
            places.setdefault(class_name(body.get("class")), []).append(place)
        except HttpError as problem:
            results[place] = _failed(body, problem)
    for name, mine in places.items():
        try:
            with classes.writing(tenant, name, make=True) as index:
                _store(index, given, mine, results)
        except HttpError as problem:
            if problem.status != 422:
                raise
            for place in mine:
                results[place] = _failed(given[place], problem)
    return results


def delete_batch(
    index: ClassIndex, match: Mapping[str, Any], *, verbose: bool, dry: bool
) -> dict[str, Any]:
    """Remove the objects that pass a filter, up to 10,000; return what came of it.

    `dry` counts them alone; `verbose` names them.
    """
    if match.get("where") is None:
        raise refused("match needs a where")
    condition = condition_of(index, match)
    matches = index.count(condition)
    ids = [
        hit.id for hit in index.read(lambda store: store.list_passages(condition, limit=MOST))
    ]
    if not dry:
        index.store.delete(ids)
    status = "DRYRUN" if dry else "SUCCESS"
    return {
        "matches": matches,
        "limit": MOST,
        "successful": 0 if dry else len(ids),
        "failed": 0,
        "objects": [{"id": name, "status": status} for name in ids] if verbose else None,
    }


def _store(
    index: ClassIndex, given: list[Any], mine: list[int], results: list[dict[str, Any]]
) -> None:
    new: dict[int, NewObject] = {}
    for place in mine:
        try:
            new[place] = read_object(index, given[place])
        except HttpError as problem:
            results[place] = _failed(given[place], problem)
    last = {one.id: one for one in new.values()}
    made = {one.id: one for one in put(index, list(last.values()))} if last else {}
    for place, one in new.items():
        results[place] = {
            **made[one.id].to_json(index.definition),
            "deprecations": None,
            "result": {"status": "SUCCESS"},
        }


def _failed(body: Any, problem: HttpError) -> dict[str, Any]:
    error = {"error": [{"message": shown(problem.message)}]}
    return {
        **_echo(body),
        "deprecations": None,
        "result": {"status": "FAILED", "errors": error},
    }


def _echo(body: Any) -> dict[str, Any]:
    """Return what can be sent back of an object that was refused."""
    try:
        found = plain_json(body)
    except HttpError:
        found = {key: shown(str(body.get(key))) for key in ("class", "id")}
    return found if isinstance(found, dict) else {}
