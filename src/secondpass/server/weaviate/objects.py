"""Objects: as clients send them, as the index stores them, and as they are sent back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.store_protocol import Hit, Passage
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

CREATED, UPDATED = "created", "updated"
"""The columns of the times, in milliseconds since 1970."""
_PROPERTIES = "properties"
_LONGEST = 65_535


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a class; times are in milliseconds since 1970.

    `vector` is float32, or None where there is none or nobody asked for it.
    """

    id: str
    properties: Mapping[str, Any]
    created: int
    updated: int
    vector: Embedding | None = None

    def to_json(self, definition: ClassDefinition, *, vector: bool = False) -> dict[str, Any]:
        """Return the object as the database sends it."""
        found: dict[str, Any] = {
            "class": definition.name,
            "creationTimeUnix": self.created,
            "id": self.id,
            "lastUpdateTimeUnix": self.updated,
            "properties": dict(self.properties),
            "vectorWeights": None,
        }
        if vector and self.vector is not None:
            numbers = self.vector.tolist()
            name = definition.vector_name
            found |= {"vector": numbers} if name is None else {"vectors": {name: numbers}}
        return found

    def to_passage(self, definition: ClassDefinition) -> Passage:
        """Return what the index stores: all of the object, and columns for filters."""
        text = definition.searchable_text(self.properties)
        times = {CREATED: self.created, UPDATED: self.updated}
        columns: dict[str, Any] = dict(times)
        for one in definition.properties:
            if one.column is not None and one.name in self.properties:
                columns[one.column] = one.column_value(self.properties[one.name])
        return Passage(
            self.id,
            self.id,
            text,
            metadata={_PROPERTIES: dict(self.properties), **times},
            columns=columns,
            end=len(text),
            embedding=self.vector,
        )


def from_hit(hit: Hit) -> StoredObject:
    """Return the object of a passage that was found."""
    held = hit.document.metadata
    return StoredObject(hit.id, held[_PROPERTIES], held[CREATED], held[UPDATED], hit.embedding)


def read_vector(given: Any) -> Embedding:
    """Return a vector that a client sent; raises Problem (422) for what is none."""
    import numpy as np

    numbers = isinstance(given, list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in given
    )
    if not numbers or not 0 < len(given) <= _LONGEST:
        raise refused(f"a vector must be a list of 1 to {_LONGEST} numbers")
    try:
        with np.errstate(over="ignore"):
            found = np.array(given, dtype=np.float64).astype(np.float32)
    except OverflowError:
        raise refused("a number of the vector is too large") from None
    if not np.isfinite(found).all():
        raise refused("a number of the vector is not finite, or too large")
    return found


def given_vector(body: Mapping[str, Any], definition: ClassDefinition) -> Embedding | None:
    """Return the vector that an object brings, under `vector` or its name in `vectors`."""
    named = body.get("vectors")
    if named:
        if not isinstance(named, dict) or list(named) != [definition.vector_name]:
            known = definition.vector_name
            what = "no named vectors" if known is None else f"only the vector {known!r}"
            raise refused(f"class '{definition.name}' has {what}")
        return read_vector(named[definition.vector_name])
    given = body.get("vector")
    return None if given is None or given == [] else read_vector(given)
