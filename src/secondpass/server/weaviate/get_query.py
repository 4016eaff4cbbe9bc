"""The arguments of a class in a query, and what they find.

What a search by vector is near to: texts, a vector, or an object that is stored.

The second pass of a query: `rerank` among the additional properties.

A query from its arguments to its objects: found, and reranked where that is asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from secondpass.rerank.base import BaseReranker
from secondpass.retrieve.backends.lance.schema import ID
from secondpass.retrieve.metadata import one_of
from secondpass.server.request_context import RequestContext
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.filters import read_where, to_sql
from secondpass.server.weaviate.names import object_id, property_name
from secondpass.server.weaviate.objects import read_vector
from secondpass.server.weaviate.responses import refused
from secondpass.server.weaviate.search import (
    FoundObject,
    autocut,
    by_both,
    by_vector,
    by_words,
    in_order,
    sort_column,
)

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding
    from secondpass.server.state import ServerState


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


def find(index: ClassIndex, given: Mapping[str, Any], *, vectors: bool) -> list[FoundObject]:
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
) -> list[FoundObject]:
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
) -> list[FoundObject]:
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
    index: ClassIndex, found: Sequence[FoundObject], order: Sequence[tuple[str, bool]]
) -> list[str]:
    ids = [one.object.id for one in found]
    hits = index.read(
        lambda store: store.list_passages(one_of(ID, ids), order=order, limit=len(ids))
    )
    return [hit.id for hit in hits]


def _with_vectors(index: ClassIndex, found: list[FoundObject]) -> list[FoundObject]:
    there = index.found([one.object.id for one in found], vectors=True)
    for one in found:
        # One that went in between is shown as it was found.
        one.object = there.get(one.object.id, one.object)
    return found


def second_pass(
    found: Sequence[FoundObject], reranker: BaseReranker, property_name: str, query: str
) -> list[float]:
    """Return the scores of what was found, in the same order: higher is better.

    Of each object one property is read; one that lacks it counts as an empty text. Raises
    Problem (422) for a blank query.
    """
    if not query.strip():
        raise refused("extend rerank: no query provided")
    texts = [_text(one.properties.get(property_name)) for one in found]
    if not texts:
        return []
    response = reranker.rerank(query, texts, return_documents=False)
    scores = {result.index: result.score for result in response.results}
    return [scores[place] for place in range(len(texts))]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class GetQuery:
    """What a query asks of the objects besides their properties.

    - `vectors`: whether their vectors.
    - `reranks`: property and query of each second pass, of which either may be None.
    """

    vectors: bool = False
    reranks: tuple[tuple[str | None, str | None], ...] = ()


def both_passes(
    index: ClassIndex,
    given: Mapping[str, Any],
    asked: GetQuery,
    state: ServerState,
    context: RequestContext,
) -> list[FoundObject]:
    """Return the objects that a query finds, best first; blocks.

    `given` are the arguments of `Get`, by the names that GraphQL has for them. Raises Problem
    for what cannot be.
    """
    found = find(index, given, vectors=asked.vectors)
    for name, query in asked.reranks:
        if not name:
            raise refused("extend rerank: no properties provided")
        index.definition.property(name)
        state.check_count(len(found), context.caller.max_documents)
        context.documents += len(found)
        words = _searched(given) if query is None else query
        scores = second_pass(found, index.reranker(), name, words)
        for one, score in zip(found, scores, strict=True):
            one.reranked[name, query] = score
    if asked.reranks:
        # Of several, the first decides.
        found.sort(key=lambda one: -one.reranked[asked.reranks[0]])
    return found


def _searched(given: Mapping[str, Any]) -> str:
    """Return the words that were searched for, or nothing."""
    near, words, both = (given.get(name) or {} for name in ("nearText", "bm25", "hybrid"))
    texts = [*near.get("concepts", ()), words.get("query"), both.get("query")]
    return " ".join(text for text in texts if text)
