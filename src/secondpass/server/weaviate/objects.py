"""Objects: as clients send them, as the index stores them, and as they are sent back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.store_protocol import Hit, Passage
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.errors import unprocessable

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

CREATED, UPDATED = "created", "updated"
"""The columns of the timestamps, in milliseconds since 1970."""
_PROPERTIES = "properties"
_MAX_DIMENSION = 65_535


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a class; timestamps are in milliseconds since 1970.

    `vector` is float32; None for an object without one, or if it was not requested.
    """

    id: str
    properties: Mapping[str, Any]
    created: int
    updated: int
    vector: Embedding | None = None

    @classmethod
    def from_hit(cls, hit: Hit) -> StoredObject:
        """Build an object from a stored passage."""
        stored = hit.document.metadata
        return cls(hit.id, stored[_PROPERTIES], stored[CREATED], stored[UPDATED], hit.embedding)

    def to_json(self, definition: ClassDefinition, *, vector: bool = False) -> dict[str, Any]:
        """Return the object as Weaviate sends it."""
        body: dict[str, Any] = {
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
            body |= {"vector": numbers} if name is None else {"vectors": {name: numbers}}
        return body

    def to_passage(self, definition: ClassDefinition) -> Passage:
        """Return the passage that the index stores, with columns for filters and sorting."""
        text = definition.searchable_text(self.properties)
        timestamps = {CREATED: self.created, UPDATED: self.updated}
        columns: dict[str, Any] = dict(timestamps)
        for property_ in definition.properties:
            if property_.column is not None and property_.name in self.properties:
                value = self.properties[property_.name]
                columns[property_.column] = property_.column_value(value)
        return Passage(
            self.id,
            text,
            metadata={_PROPERTIES: dict(self.properties), **timestamps},
            columns=columns,
            end=len(text),
            embedding=self.vector,
        )


def parse_vector(value: Any) -> Embedding:
    """Parse a vector from a list of numbers, as float32; raises HttpError (422)."""
    import numpy as np

    numbers = isinstance(value, list) and all(
        isinstance(item, int | float) and not isinstance(item, bool) for item in value
    )
    if not numbers or not 0 < len(value) <= _MAX_DIMENSION:
        raise unprocessable(f"a vector must be a list of 1 to {_MAX_DIMENSION} numbers")
    try:
        with np.errstate(over="ignore"):
            vector = np.array(value, dtype=np.float64).astype(np.float32)
    except OverflowError:
        raise unprocessable("a number of the vector is too large") from None
    if not np.isfinite(vector).all():
        raise unprocessable("a number of the vector is not finite, or too large")
    return vector


def parse_object_vector(
    body: Mapping[str, Any], definition: ClassDefinition
) -> Embedding | None:
    """Return the vector in an object's JSON: `vector`, or by its name in `vectors`.

    Raises HttpError (422).
    """
    vectors = body.get("vectors")
    if vectors:
        name = definition.vector_name
        if not isinstance(vectors, dict) or list(vectors) != [name]:
            known = "no named vectors" if name is None else f"only the vector {name!r}"
            raise unprocessable(f"class '{definition.name}' has {known}")
        return parse_vector(vectors[name])
    vector = body.get("vector")
    return None if vector is None or vector == [] else parse_vector(vector)
