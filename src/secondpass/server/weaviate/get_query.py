"""The arguments of a class in a query, and what they find."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.filters import one_of
from secondpass.retrieve.lance.rows import ID
from secondpass.server.weaviate.autocut import autocut
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.filters import to_sql
from secondpass.server.weaviate.found import Found
from secondpass.server.weaviate.names import object_id, property_name
from secondpass.server.weaviate.query_vectors import near_object, near_text, near_vector
from secondpass.server.weaviate.responses import refused
from secondpass.server.weaviate.search import (
    by_both,
    by_vector,
    by_words,
    in_order,
    sort_column,
)
from secondpass.server.weaviate.where import read_where

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

LIMIT = 100
MOST = 10_000
_SEARCHES = ("nearText", "nearVector", "nearObject", "bm25", "hybrid")
_ALPHA = 0.75

Near = Callable[[ClassIndex, Any], Any]


def condition_of(index: ClassIndex, given: Mapping[str, Any]) -> str | None:
    """Return the filter of a query as SQL; raises Problem (422), also for a tenant."""
    if given.get("tenant") is not None:
        name = index.definition.name
        raise refused(f"class '{name}' has multi-tenancy disabled, but request was with tenant")
    where = given.get("where")
    if where is None:
        return None
    return to_sql(read_where(where), index.definition, index.store.fields)


def find(index: ClassIndex, given: Mapping[str, Any], *, vectors: bool) -> list[Found]:
    """Return the objects that a query means; raises Problem (422) for what cannot be."""
    given = {key: value for key, value in given.items() if value is not None}
    if "groupBy" in given:
        raise refused("groupBy is not supported here")
    searches = [name for name in _SEARCHES if name in given]
    if len(searches) > 1:
        raise refused(f"only one kind of search can be asked for, not {' and '.join(searches)}")
    offset, limit = page(given)
    condition, order = condition_of(index, given), _order(index, given)
    if not searches:
        return in_order(
            index,
            condition,
            order,
            offset=offset,
            limit=limit,
            after=_after(given, order),
            vectors=vectors,
        )
    if "after" in given:
        raise refused("after cannot be combined with a search")
    found = _search(index, searches[0], given[searches[0]], offset + limit, condition)
    if "autocut" in given:
        scores = [one.score if one.distance is None else one.distance for one in found]
        found = found[: autocut([s for s in scores if s is not None], given["autocut"])]
    found = found[offset:]
    if order:
        place = {name: i for i, name in enumerate(_sorted_ids(index, found, order))}
        found.sort(key=lambda one: place.get(one.object.id, len(place)))
    return _with_vectors(index, found) if vectors else found


def page(given: Mapping[str, Any], *, default: int = LIMIT) -> tuple[int, int]:
    """Return offset and limit; raises Problem (422) for what is negative or too far."""
    offset, limit = given.get("offset", 0), given.get("limit", default)
    if offset < 0 or limit < 0:
        raise refused("invalid pagination params: offset and limit must be from 0 up")
    if offset + limit > MOST:
        raise refused(f"query maximum results exceeded: offset and limit make over {MOST}")
    return offset, limit


def _search(
    index: ClassIndex, kind: str, asked: Mapping[str, Any], most: int, condition: str | None
) -> list[Found]:
    asked = {key: value for key, value in asked.items() if value is not None}
    _check_targets(index, kind, asked)
    if not most:
        return []
    if kind == "bm25":
        return by_words(index, asked["query"], asked.get("properties"), most, condition)
    if kind == "hybrid":
        return _hybrid(index, asked, most, condition)
    vectors: Mapping[str, Near] = {
        "nearText": near_text,
        "nearObject": near_object,
        "nearVector": lambda index, near: near_vector(index, near["vector"]),
    }
    return by_vector(
        index, vectors[kind](index, asked), most, condition, furthest_of(kind, asked)
    )


def _hybrid(
    index: ClassIndex, asked: Mapping[str, Any], most: int, condition: str | None
) -> list[Found]:
    query, alpha = asked.get("query", ""), asked.get("alpha", _ALPHA)
    if not 0 <= alpha <= 1:
        raise refused(f"hybrid: alpha must be from 0 to 1, not {alpha}")
    given = near_vector(index, asked["vector"]) if "vector" in asked else None
    if not query.strip() and given is None:
        raise refused("hybrid: give a query or a vector")
    if given is None and alpha > 0 and not index.definition.embeds:
        raise refused(
            f"hybrid: class '{index.definition.name}' has no vectorizer: give a vector, or "
            "alpha: 0"
        )

    def vector() -> Embedding:
        return index.encoded([query])[0] if given is None else given

    return by_both(
        index,
        query if alpha < 1 else "",
        vector if alpha > 0 else None,
        asked.get("properties"),
        most,
        condition,
        alpha=alpha,
        fusion=asked.get("fusionType", "relativeScoreFusion"),
        furthest=furthest_of("hybrid", {"distance": asked.get("maxVectorDistance")}),
    )


def furthest_of(kind: str, asked: Mapping[str, Any]) -> float | None:
    """Return the distance that a search names, or that belongs to its certainty.

    Raises Problem (422) for both, and for a number that is none.
    """
    certainty, distance = asked.get("certainty"), asked.get("distance")
    if certainty is not None and distance is not None:
        raise refused(f"{kind}: cannot provide distance and certainty")
    if certainty is not None:
        return 2 * (1 - _finite(kind, certainty))
    return None if distance is None else _finite(kind, distance)


def _finite(kind: str, number: float) -> float:
    if not math.isfinite(number):
        raise refused(f"{kind}: {number} is no distance and no certainty")
    return float(number)


def _check_targets(index: ClassIndex, kind: str, asked: Mapping[str, Any]) -> None:
    known = index.definition.vector_name
    for name in asked.get("targetVectors", ()):
        if name != known:
            raise refused(f"{kind}: class '{index.definition.name}' has no vector {name!r:.80}")


def _order(index: ClassIndex, given: Mapping[str, Any]) -> list[tuple[str, bool]]:
    order = []
    for one in given.get("sort", ()):
        if len(one["path"]) != 1:
            raise refused("sort: a path has one property: references are not followed here")
        (name,) = one["path"]
        plain = name if name.startswith("_") or name == "id" else property_name(name)
        column = sort_column(index, plain)
        if column is not None:
            order.append((column, one.get("order") == "desc"))
    return order


def _after(given: Mapping[str, Any], order: Sequence[object]) -> str | None:
    if "after" not in given:
        return None
    if order or given.get("offset"):
        raise refused("after cannot be combined with sort or offset")
    return object_id(given["after"]) if given["after"] else None


def _sorted_ids(
    index: ClassIndex, found: Sequence[Found], order: Sequence[tuple[str, bool]]
) -> list[str]:
    ids = [one.object.id for one in found]
    hits = index.read(lambda store: store.listed(one_of(ID, ids), order=order, limit=len(ids)))
    return [hit.id for hit in hits]


def _with_vectors(index: ClassIndex, found: list[Found]) -> list[Found]:
    there = index.found([one.object.id for one in found], vectors=True)
    for one in found:
        # One that went in between is shown as it was found.
        one.object = there.get(one.object.id, one.object)
    return found
