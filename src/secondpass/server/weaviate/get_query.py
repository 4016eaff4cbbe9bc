"""Get queries: what a search of a class asks for, parsed from GraphQL's arguments.

GraphQL, gRPC and REST all end in a `GetQuery`, which `search` runs and `rerank` reorders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.filters import Where, parse_where
from secondpass.server.weaviate.names import parse_property_name, parse_uuid
from secondpass.server.weaviate.objects import parse_vector
from secondpass.server.weaviate.properties import Property
from secondpass.server.weaviate.score_boosts import (
    Diversity,
    ScoreBoost,
    parse_diversity,
    parse_score_boost,
)

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

DEFAULT_LIMIT = 100
MAX_RESULTS = 10_000
"""The most objects that a query or a batch delete can reach: offset plus limit."""
_DEFAULT_ALPHA = 0.75

Fusion = Literal["rankedFusion", "relativeScoreFusion"]
Weighted = tuple[tuple[Property, float], ...]
"""Properties that BM25 reads, each with the weight of its score."""


@dataclass(frozen=True, slots=True)
class Move:
    """Moves a query vector to or away from concepts; `force` is at least 0."""

    concepts: tuple[str, ...]
    force: float


@dataclass(frozen=True, slots=True)
class NearText:
    """A vector search by texts, which are embedded."""

    concepts: tuple[str, ...]
    move_to: Move | None = None
    move_away: Move | None = None
    max_distance: float | None = None


@dataclass(frozen=True, slots=True)
class NearVector:
    """A vector search by a vector of the client."""

    vector: Embedding
    max_distance: float | None = None


@dataclass(frozen=True, slots=True)
class NearObject:
    """A vector search by the vector of a stored object."""

    id: str
    max_distance: float | None = None


@dataclass(frozen=True, slots=True)
class Bm25:
    """A keyword search; `properties` None searches all texts."""

    query: str
    properties: Weighted | None = None


@dataclass(frozen=True, slots=True)
class Hybrid:
    """A keyword and a vector search, fused; `alpha` is the weight of the vector search, 0 to 1.

    The vector is that of the client, that of `near_text`, or else that of the query.
    """

    query: str
    alpha: float
    fusion: Fusion
    vector: Embedding | None = None
    near_text: NearText | None = None
    properties: Weighted | None = None
    max_distance: float | None = None


Search = NearText | NearVector | NearObject | Bm25 | Hybrid


@dataclass(frozen=True, slots=True)
class Rerank:
    """A second pass over one property; `query` None stands for the text of the search."""

    property: str | None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class GroupBy:
    """Groups of hits by the value of a property: how many, and of how many objects each."""

    property: Property
    groups: int
    objects: int


@dataclass(frozen=True, slots=True)
class GetQuery:
    """What a search of a class asks for.

    - `search`: None lists the objects in the order of `sort`, or else of their ids.
    - `sort`: names of properties, each with True for descending order.
    - `after`: the id after which the list goes on.
    - `autocut`: after how many jumps of the score to cut the results.
    - `group_by`: how the hits are grouped, of which there are at most `limit`.
    - `boost`, `diversity`: what changes the scores and the selection of the first pass.
    - `vectors`: whether vectors are returned, too.
    - `reranks`: the second passes; the first decides the order.
    """

    search: Search | None = None
    where: Where | None = None
    sort: tuple[tuple[str, bool], ...] = ()
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    after: str | None = None
    autocut: int | None = None
    group_by: GroupBy | None = None
    boost: ScoreBoost | None = None
    diversity: Diversity | None = None
    vectors: bool = False
    reranks: tuple[Rerank, ...] = ()

    @property
    def text(self) -> str:
        """The text that is searched for; empty for a search by vector and for a list."""
        if isinstance(self.search, NearText):
            return " ".join(text for text in self.search.concepts if text)
        return self.search.query if isinstance(self.search, Bm25 | Hybrid) else ""


def parse_get_query(
    arguments: Mapping[str, Any],
    definition: ClassDefinition,
    *,
    vectors: bool = False,
    reranks: Sequence[Rerank] = (),
) -> GetQuery:
    """Parse the arguments of GraphQL's `Get`, of which null ones count as absent.

    Raises HttpError (422).
    """
    arguments = _without_nulls(arguments)
    searches = [name for name in _PARSERS if name in arguments]
    if len(searches) > 1:
        raise unprocessable(
            f"only one kind of search can be asked for, not {' and '.join(searches)}"
        )
    offset, limit = parse_page(arguments)
    sort = _parse_sort(arguments)
    if searches and "after" in arguments:
        raise unprocessable("after cannot be combined with a search")
    query = GetQuery(
        search=_parse_search(searches[0], arguments, definition) if searches else None,
        where=parse_filter(arguments, definition),
        sort=sort,
        offset=offset,
        limit=limit,
        after=_parse_after(arguments, sorted_=bool(sort)),
        autocut=arguments.get("autocut"),
        group_by=_parse_group_by(arguments, definition),
        boost=parse_score_boost(arguments["boost"], definition)
        if "boost" in arguments
        else None,
        diversity=parse_diversity(arguments["diversity"], limit)
        if "diversity" in arguments
        else None,
        vectors=vectors,
        reranks=tuple(reranks),
    )
    for name in ("groupBy", "boost"):
        if name in arguments and query.search is None:
            raise unprocessable(f"{name}: there is no search whose results could be changed")
    for rerank in query.reranks:
        _check_rerank(rerank, query, definition)
    return query


def parse_filter(arguments: Mapping[str, Any], definition: ClassDefinition) -> Where | None:
    """Parse `where`; raises HttpError (422), also for a tenant."""
    if arguments.get("tenant") is not None:
        raise unprocessable(
            f"class '{definition.name}' has multi-tenancy disabled, but request was with tenant"
        )
    where = arguments.get("where")
    return None if where is None else parse_where(where)


def parse_page(
    arguments: Mapping[str, Any], *, default: int = DEFAULT_LIMIT
) -> tuple[int, int]:
    """Return offset and limit; raises HttpError (422) for negative or too large ones."""
    offset, limit = arguments.get("offset", 0), arguments.get("limit", default)
    if offset < 0 or limit < 0:
        raise unprocessable("invalid pagination params: offset and limit must be at least 0")
    if offset + limit > MAX_RESULTS:
        raise unprocessable(
            f"query maximum results exceeded: offset plus limit is over {MAX_RESULTS}"
        )
    return offset, limit


def max_distance(search: str, arguments: Mapping[str, Any]) -> float | None:
    """Return the largest cosine distance, 0 to 2, from `distance` or `certainty`.

    Raises HttpError (422) for both at once, and for a number that is not finite.
    """
    certainty, distance = arguments.get("certainty"), arguments.get("distance")
    if certainty is not None and distance is not None:
        raise unprocessable(f"{search}: cannot provide distance and certainty")
    number = distance if certainty is None else certainty
    if number is None:
        return None
    if not math.isfinite(number):
        raise unprocessable(f"{search}: {number} is not a valid distance or certainty")
    return float(number) if certainty is None else 2 * (1 - float(number))


def _parse_search(
    name: str, arguments: Mapping[str, Any], definition: ClassDefinition
) -> Search:
    search = _without_nulls(arguments[name])
    for target in search.get("targetVectors", ()):
        if target != definition.vector_name:
            raise unprocessable(
                f"{name}: class '{definition.name}' has no vector {target!r:.80}"
            )
    return _PARSERS[name](search, definition)


def _parse_near_text(near: Mapping[str, Any], definition: ClassDefinition) -> NearText:
    return NearText(
        _parse_concepts(near, "nearText"),
        _parse_move(near, "moveTo", max_force=1),
        _parse_move(near, "moveAwayFrom", max_force=math.inf),
        max_distance("nearText", near),
    )


def _parse_move(near: Mapping[str, Any], name: str, *, max_force: float) -> Move | None:
    move = near.get(name)
    if move is None:
        return None
    force = move.get("force")
    force = 0.0 if force is None else float(force)
    if not math.isfinite(force) or not 0 <= force <= max_force:
        raise unprocessable(f"{name}: a force of {force} is not possible")
    return Move(_parse_concepts(move, name), force)


def _parse_concepts(arguments: Mapping[str, Any], name: str) -> tuple[str, ...]:
    concepts = tuple(arguments["concepts"])
    if not any(concept.strip() for concept in concepts):
        raise unprocessable(f"{name}: concepts cannot be empty")
    return concepts


def _parse_near_vector(near: Mapping[str, Any], definition: ClassDefinition) -> NearVector:
    return NearVector(parse_vector(near["vector"]), max_distance("nearVector", near))


def _parse_near_object(near: Mapping[str, Any], definition: ClassDefinition) -> NearObject:
    id_, beacon = near.get("id"), near.get("beacon")
    if (id_ is None) == (beacon is None):
        raise unprocessable("nearObject: give id or beacon")
    id_ = parse_uuid(str(beacon).rpartition("/")[2] if id_ is None else id_)
    return NearObject(id_, max_distance("nearObject", near))


def _parse_bm25(search: Mapping[str, Any], definition: ClassDefinition) -> Bm25:
    query = search["query"]
    if not query.strip():
        raise unprocessable("keyword search (bm25) must have query set")
    return Bm25(query, _parse_properties(search, definition))


def _parse_hybrid(search: Mapping[str, Any], definition: ClassDefinition) -> Hybrid:
    query, alpha = search.get("query", ""), search.get("alpha", _DEFAULT_ALPHA)
    if not 0 <= alpha <= 1:
        raise unprocessable(f"hybrid: alpha must be from 0 to 1, not {alpha}")
    vector = parse_vector(search["vector"]) if "vector" in search else None
    near = _parse_near_text(search["nearText"], definition) if "nearText" in search else None
    own_vector = vector is not None or near is not None
    if not query.strip() and not own_vector:
        raise unprocessable("hybrid: give a query or a vector")
    if not own_vector and alpha > 0 and not definition.embeds:
        raise unprocessable(
            f"hybrid: class '{definition.name}' has no vectorizer: give a vector, or alpha: 0"
        )
    searches_words = query.strip() and alpha < 1
    return Hybrid(
        query,
        alpha,
        search.get("fusionType", "relativeScoreFusion"),
        vector,
        near,
        _parse_properties(search, definition) if searches_words else None,
        max_distance("hybrid", {"distance": search.get("maxVectorDistance")}),
    )


def _parse_properties(
    search: Mapping[str, Any], definition: ClassDefinition
) -> Weighted | None:
    """Parse "name" and "name^weight"."""
    if "properties" not in search:
        return None
    weighted = []
    for item in search["properties"]:
        name, caret, number = item.partition("^")
        try:
            weight = float(number) if caret else 1.0
        except ValueError:
            weight = -1.0
        if not 0 <= weight < math.inf:
            raise unprocessable(
                f"bm25: the weight of {item!r:.80} must be a number of 0 or more"
            )
        property_ = definition.property(name)
        if not property_.searchable:
            raise unprocessable(f"bm25: property '{name}' is not searchable")
        weighted.append((property_, weight))
    return tuple(weighted)


_PARSERS: Mapping[str, Callable[[Mapping[str, Any], ClassDefinition], Search]] = {
    "nearText": _parse_near_text,
    "nearVector": _parse_near_vector,
    "nearObject": _parse_near_object,
    "bm25": _parse_bm25,
    "hybrid": _parse_hybrid,
}


def _parse_sort(arguments: Mapping[str, Any]) -> tuple[tuple[str, bool], ...]:
    sort = []
    for item in arguments.get("sort", ()):
        if len(item["path"]) != 1:
            raise unprocessable("sort: a path has one property: references are not followed")
        (name,) = item["path"]
        if name != "id" and not name.startswith("_"):
            name = parse_property_name(name)
        sort.append((name, item.get("order") == "desc"))
    return tuple(sort)


def _parse_after(arguments: Mapping[str, Any], *, sorted_: bool) -> str | None:
    if "after" not in arguments:
        return None
    if sorted_ or arguments.get("offset"):
        raise unprocessable("after cannot be combined with sort or offset")
    return parse_uuid(arguments["after"]) if arguments["after"] else None


def _parse_group_by(
    arguments: Mapping[str, Any], definition: ClassDefinition
) -> GroupBy | None:
    given = arguments.get("groupBy")
    if given is None:
        return None
    path, groups, objects = given["path"], given["groups"], given["objectsPerGroup"]
    if len(path) != 1:
        raise unprocessable("groupBy: a path has one property: references are not followed")
    if groups < 1 or objects < 1:
        raise unprocessable("groupBy: groups and objectsPerGroup must be at least 1")
    property_ = definition.property(parse_property_name(path[0]))
    if property_.kind in ("reference", "object", "blob", "geoCoordinates"):
        raise unprocessable(
            f"groupBy: '{property_.name}' is of type {property_.data_type}, which has no groups"
        )
    return GroupBy(property_, groups, objects)


def _check_rerank(rerank: Rerank, query: GetQuery, definition: ClassDefinition) -> None:
    if not rerank.property:
        raise unprocessable("extend rerank: no properties provided")
    definition.property(rerank.property)
    if not (query.text if rerank.query is None else rerank.query).strip():
        raise unprocessable("extend rerank: no query provided")


def _without_nulls(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
