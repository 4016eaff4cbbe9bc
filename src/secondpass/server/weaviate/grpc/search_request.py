"""A search as gRPC has it, as the arguments of `Get`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from secondpass.server.weaviate.both_passes import Asked
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.get_query import furthest_of
from secondpass.server.weaviate.grpc.filters import where_of
from secondpass.server.weaviate.grpc.messages import Hybrid, SearchOperatorOptions
from secondpass.server.weaviate.grpc.vectors import named_vectors
from secondpass.server.weaviate.query_vectors import near_text
from secondpass.server.weaviate.responses import refused

LIMIT = 10
"""How many objects a search gives that does not say; GraphQL gives more."""


def asked_of(request: Any, definition: ClassDefinition) -> Asked:
    """Return what a SearchRequest asks of its objects besides their properties.

    Raises Problem (422) for a vector that there is not.
    """
    for name in request.metadata.vectors:
        if name != definition.vector_name:
            raise refused(f"class '{definition.name}' has no vector {name!r:.80}")
    vectors = request.metadata.vector or bool(request.metadata.vectors)
    if not request.HasField("rerank"):
        return Asked(vectors)
    query = request.rerank.query if request.rerank.HasField("query") else None
    return Asked(vectors, ((request.rerank.property, query),))


def arguments_of(request: Any, index: ClassIndex) -> dict[str, Any]:
    """Return the arguments that a SearchRequest means; blocks where it embeds.

    Raises Problem (422) for what cannot be.
    """
    given: dict[str, Any] = {
        "offset": request.offset,
        "limit": request.limit if request.limit else LIMIT,
        # 0 and nothing mean none here, other than in GraphQL.
        "autocut": request.autocut or None,
        "after": request.after or None,
        "tenant": request.tenant or None,
    }
    if request.sort_by:
        given["sort"] = [
            {"path": list(one.path), "order": "asc" if one.ascending else "desc"}
            for one in request.sort_by
        ]
    if request.HasField("filters"):
        given["where"] = where_of(request.filters, index.definition)
    if request.HasField("bm25_search"):
        given["bm25"] = _bm25(request.bm25_search)
    if request.HasField("near_text"):
        given["nearText"] = _near_text(request.near_text)
    if request.HasField("near_object"):
        near = request.near_object
        given["nearObject"] = {"id": near.id, **_bounds(near), **_targets(near)}
    if request.HasField("near_vector"):
        given["nearVector"] = _near_vector(request.near_vector)
    if request.HasField("hybrid_search"):
        given["hybrid"] = _hybrid(request.hybrid_search, index)
    return given


def _bm25(asked: Any) -> dict[str, Any]:
    _check_operator(asked, "search_operator")
    return {"query": asked.query, "properties": list(asked.properties) or None}


def _near_text(near: Any) -> dict[str, Any]:
    found = {"concepts": list(near.query), **_bounds(near), **_targets(near)}
    for field, name in (("move_to", "moveTo"), ("move_away", "moveAwayFrom")):
        if near.HasField(field):
            move = getattr(near, field)
            if move.uuids:
                raise refused(f"{name}: moving to objects is not supported here")
            found[name] = {"concepts": list(move.concepts), "force": move.force}
    return found


def _near_vector(near: Any) -> dict[str, Any]:
    names, numbers = _one_vector(near, "near_vector")
    if numbers is None:
        raise refused("near_vector: vector is required")
    return {"vector": numbers, **_bounds(near), **_targets(near, names)}


def _hybrid(asked: Any, index: ClassIndex) -> dict[str, Any]:
    _check_operator(asked, "bm25_search_operator")
    names, numbers = _one_vector(asked, "hybrid")
    furthest = asked.vector_distance if asked.HasField("vector_distance") else None
    fields = ("near_vector", "near_text")
    given = [name for name in fields if asked.HasField(name)]
    if len(given) + (numbers is not None) > 1:
        raise refused("hybrid: give one of vector, near_vector and near_text")
    if given == ["near_vector"]:
        near = _near_vector(asked.near_vector)
        numbers, furthest = near["vector"], _furthest(near, furthest)
        names += near["targetVectors"]
    if given == ["near_text"]:
        near = _near_text(asked.near_text)
        numbers, furthest = near_text(index, near).tolist(), _furthest(near, furthest)
    ranked = asked.fusion_type == Hybrid.FUSION_TYPE_RANKED
    return {
        "query": asked.query,
        "properties": list(asked.properties) or None,
        "vector": numbers,
        "alpha": _alpha(asked),
        "fusionType": "rankedFusion" if ranked else "relativeScoreFusion",
        "maxVectorDistance": furthest,
        **_targets(asked, names),
    }


def _furthest(near: Mapping[str, Any], otherwise: float | None) -> float | None:
    found = furthest_of("hybrid", near)
    return otherwise if found is None else found


def _alpha(asked: Any) -> float | None:
    if not asked.use_alpha_param:
        return float(asked.alpha)
    return float(asked.alpha_param) if asked.HasField("alpha_param") else None


def _one_vector(message: Any, what: str) -> tuple[list[str], list[float] | None]:
    """Return the names and the numbers of the one vector of a message, if there is one."""
    found = named_vectors(message)
    if len(found) > 1:
        raise refused(f"{what}: only 1 vector is supported here, found {len(found)}")
    return [name for name, _ in found if name], found[0][1] if found else None


def _bounds(near: Any) -> dict[str, float]:
    return {n: getattr(near, n) for n in ("certainty", "distance") if near.HasField(n)}


def _targets(message: Any, names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the vectors that a search names; messages of older clients have a list alone."""
    targets = [*message.targets.target_vectors, *message.target_vectors, *names]
    return {"targetVectors": targets}


def _check_operator(asked: Any, field: str) -> None:
    if not asked.HasField(field):
        return
    operator = getattr(asked, field)
    any_word = operator.operator in (
        SearchOperatorOptions.OPERATOR_UNSPECIFIED,
        SearchOperatorOptions.OPERATOR_OR,
    )
    if not any_word or operator.minimum_or_tokens_match > 1:
        raise refused("bm25: only an Or of which one word must match is supported here")
