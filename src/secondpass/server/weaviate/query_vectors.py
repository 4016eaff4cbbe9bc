"""What a search by vector is near to: texts, a vector, or an object that is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.names import object_id
from secondpass.server.weaviate.objects import read_vector
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

# How far a force of 1 goes, as in the database.
_STEP = 0.5


def near_text(index: ClassIndex, near: Mapping[str, Any]) -> Embedding:
    """Return the mean of the vectors of concepts, moved to and away from others.

    Raises Problem (422) for no concepts, and for a force that cannot be.
    """
    found = _mean(index, near["concepts"], "nearText")
    for name, sign in (("moveTo", -1), ("moveAwayFrom", 1)):
        move = near.get(name)
        if move is None:
            continue
        force = move.get("force")
        force = 0.0 if force is None else float(force)
        if not math.isfinite(force) or force < 0 or (sign < 0 and force > 1):
            raise refused(f"{name}: a force of {force} is not possible")
        other = _mean(index, move["concepts"], name)
        found = found + sign * force * _STEP * (found - other)
    return found


def near_vector(index: ClassIndex, numbers: Any) -> Embedding:
    """Return a vector that a client gives; raises Problem (422) if it cannot be compared."""
    vector, length = read_vector(numbers), index.store.dimension
    if length and len(vector) != length:
        raise refused(f"vector lengths don't match: {len(vector)} is not {length}")
    if not vector.any():
        raise refused("a vector of zeros has no direction")
    return vector


def near_object(index: ClassIndex, near: Mapping[str, Any]) -> Embedding:
    """Return the vector of an object, by `id` or `beacon`; raises Problem (422)."""
    name, beacon = near.get("id"), near.get("beacon")
    if (name is None) == (beacon is None):
        raise refused("nearObject: give id or beacon")
    name = object_id(str(beacon).rpartition("/")[2] if name is None else name)
    there = index.found([name], vectors=True).get(name)
    if there is None or there.vector is None:
        raise refused(f"nearObject: there is no object {name} with a vector")
    return near_vector(index, there.vector.tolist())


def _mean(index: ClassIndex, concepts: Sequence[str], name: str) -> Embedding:
    if not any(concept.strip() for concept in concepts):
        raise refused(f"{name}: concepts cannot be empty")
    mean: Embedding = index.encoded(concepts).mean(axis=0)
    return mean
