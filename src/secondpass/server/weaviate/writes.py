"""Storing objects: checked, embedded where the class embeds, in one atomic step."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from secondpass.server.weaviate.autoschema import grown
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.names import object_id
from secondpass.server.weaviate.objects import StoredObject, given_vector
from secondpass.server.weaviate.properties import checked_values
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

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
    rows = into.store.count()
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
        store.start_vectors(length)
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
