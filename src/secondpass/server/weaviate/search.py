"""The first pass of a query: vector, keyword and hybrid search, and lists of objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.backends.lance.schema import DOC
from secondpass.retrieve.fusion import fuse_parts
from secondpass.retrieve.metadata import one_of, quoted
from secondpass.retrieve.retriever import check_query_length
from secondpass.retrieve.store_protocol import Hit
from secondpass.server.scheduler.scheduled_models import wait_for
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.filters import Where, to_sql
from secondpass.server.weaviate.get_query import (
    Bm25,
    Fusion,
    GetQuery,
    GroupBy,
    Hybrid,
    NearObject,
    NearText,
    NearVector,
    Rerank,
    Search,
    Weighted,
)
from secondpass.server.weaviate.objects import CREATED, UPDATED, StoredObject
from secondpass.server.weaviate.score_boosts import Diversity, ScoreBoost

if TYPE_CHECKING:
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.store_protocol import Embedding

# How far a force of 1 moves a query vector, as in Weaviate.
_MOVE_STEP = 0.5
# Each half of a hybrid search returns at least so many, as in Weaviate.
_MIN_HALF = 100
_FUSIONS: Mapping[Fusion, str] = {
    "rankedFusion": "rrf",
    "relativeScoreFusion": "weighted",
}
_SORT_COLUMNS = {
    "id": DOC,
    "_id": DOC,
    "_creationTimeUnix": CREATED,
    "_lastUpdateTimeUnix": UPDATED,
}


@dataclass(slots=True)
class SearchHit:
    """An object that a query returns.

    - `distance`: 1 minus the cosine similarity, 0 to 2, of a vector search.
    - `score`: of BM25 or of the fusion; `explanation`: its parts.
    - `rerank_scores`: of the second passes.
    - `group`: the group that this hit stands for, as the best of it.
    """

    object: StoredObject
    distance: float | None = None
    score: float | None = None
    explanation: str | None = None
    rerank_scores: dict[Rerank, float] = field(default_factory=dict)
    group: HitGroup | None = None

    @property
    def certainty(self) -> float | None:
        """The distance scaled to 1 for the same direction and 0 for the opposite one."""
        return None if self.distance is None else 1 - self.distance / 2

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties of the object."""
        return self.object.properties


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Hits with one value of a property, best first, at least one.

    `value` is the value of the property `path` as text, "" for objects without one; `number`
    counts the groups of a reply from 0.
    """

    number: int
    path: str
    value: str
    hits: list[SearchHit]

    @property
    def distances(self) -> tuple[float, float] | None:
        """The lowest and the highest distance, where the search has distances."""
        found = [hit.distance for hit in self.hits if hit.distance is not None]
        return (min(found), max(found)) if found else None


def group_hits(hits: Sequence[SearchHit], group_by: GroupBy) -> dict[str, list[SearchHit]]:
    """Return the hits by the values of a property, groups and hits in the order of the hits.

    An object with a list of values is in the group of each; objects without a value are the
    group "". Hits beyond the numbers of groups and of objects are left out.
    """
    groups: dict[str, list[SearchHit]] = {}
    for hit in hits:
        for value in _group_values(hit.properties.get(group_by.property.name)):
            if value not in groups and len(groups) == group_by.groups:
                continue
            group = groups.setdefault(value, [])
            if len(group) < group_by.objects:
                group.append(hit)
    return groups


def _group_values(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [v if isinstance(v, str) else json.dumps(v) for v in values if v is not None]
    return list(dict.fromkeys(texts)) or [""]


def search(index: ClassIndex, query: GetQuery) -> list[SearchHit]:
    """Run the first pass of a query; blocks. Raises HttpError (422)."""
    sql_filter, order = filter_sql(index, query.where), _sort_order(index, query)
    if query.search is None:
        return _list_objects(index, query, sql_filter, order)
    depth = query.offset + query.limit
    reach = depth if query.boost is None else max(depth, query.boost.depth)
    hits = _first_pass(index, query.search, reach, sql_filter) if depth else []
    if query.boost is not None:
        hits = _boost_hits(index, hits, query.boost)[:depth]
    if query.diversity is not None:
        hits = _diversify(index, hits, query.diversity)
    if query.autocut is not None:
        scores = [hit.score if hit.distance is None else hit.distance for hit in hits]
        hits = hits[: autocut([s for s in scores if s is not None], query.autocut)]
    hits = hits[query.offset :]
    if order:
        position = {id_: i for i, id_ in enumerate(_sort_ids(index, hits, order))}
        hits.sort(key=lambda hit: position.get(hit.object.id, len(position)))
    return _with_vectors(index, hits) if query.vectors else hits


def _boost_hits(
    index: ClassIndex, hits: Sequence[SearchHit], boost: ScoreBoost
) -> list[SearchHit]:
    """Return the hits in the order of their boosted scores, which they then have."""
    ids = [hit.object.id for hit in hits]
    columns = [
        condition.values([hit.properties for hit in hits])
        if condition.where is None
        else [float(id_ in found) for id_ in ids]
        for condition in boost.conditions
        for found in (_passing(index, ids, condition.where),)
    ]
    scores = boost.combine([_relevance(hit) for hit in hits], columns)
    boosted = [
        replace(hit, score=score, explanation=f"boosted from {_relevance(hit):.6g}")
        for hit, score in zip(hits, scores, strict=True)
    ]
    return sorted(boosted, key=lambda hit: -(hit.score or 0.0))


def _passing(index: ClassIndex, ids: Sequence[str], where: Where | None) -> set[str]:
    """Return those of these objects that pass a filter; none without one."""
    sql_filter = filter_sql(index, where)
    if sql_filter is None or not ids:
        return set()
    condition = f"({sql_filter}) AND {one_of(DOC, list(ids))}"
    found = index.read(lambda store: store.list_passages(condition, limit=len(ids)))
    return {hit.id for hit in found}


def _diversify(
    index: ClassIndex, hits: Sequence[SearchHit], diversity: Diversity
) -> list[SearchHit]:
    """Return the hits that maximal marginal relevance selects, in the order of selection."""
    import numpy as np

    from secondpass.rerank.boost_values import scale_to_unit
    from secondpass.rerank.policies.mmr import mmr_order

    if not hits:
        return []
    stored = index.get_objects([hit.object.id for hit in hits], vectors=True)
    found = [stored.get(hit.object.id, hit.object).vector for hit in hits]
    # What has no vector is like nothing else.
    nothing = np.zeros(index.store.dimension, dtype=np.float32)
    vectors = np.stack([nothing if vector is None else vector for vector in found])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    relevance = np.array(scale_to_unit([_relevance(hit) for hit in hits]))
    order = mmr_order(relevance, vectors, 1 - diversity.balance)
    return [hits[i] for i in order[: diversity.limit]]


def _relevance(hit: SearchHit) -> float:
    return -(hit.distance or 0.0) if hit.score is None else hit.score


def filter_sql(index: ClassIndex, where: Where | None) -> str | None:
    """Translate a filter for the index as it is now; raises HttpError (422)."""
    return None if where is None else to_sql(where, index.definition, index.store.fields)


def autocut(scores: Sequence[float], jumps: int) -> int:
    """Return how many results come before the given number of jumps, all if there are fewer.

    Scores or distances are scaled from the first to the last; a jump is where they are
    further from a straight line than at both neighbors, as in Weaviate. `jumps` below 1 cuts
    nothing.
    """
    if len(scores) <= 1 or jumps < 1 or scores[0] == scores[-1]:
        return len(scores)
    step, span = 1 / (len(scores) - 1), scores[-1] - scores[0]
    above = [(score - scores[0]) / span - step * i for i, score in enumerate(scores)]
    # The last one has no neighbor after it.
    above.append(above[-3] if len(above) > 2 else above[-2])
    count = 0
    for i in range(1, len(scores)):
        if above[i] > above[i - 1] and above[i] > above[i + 1]:
            count += 1
            if count == jumps:
                return i
    return len(scores)


def _first_pass(
    index: ClassIndex, search: Search, limit: int, sql_filter: str | None
) -> list[SearchHit]:
    if isinstance(search, Bm25):
        return _bm25_search(index, search, limit, sql_filter)
    if isinstance(search, Hybrid):
        return _hybrid_search(index, search, limit, sql_filter)
    vector = _query_vector(index, search)
    return _vector_search(index, vector, limit, sql_filter, search.max_distance)


def _vector_search(
    index: ClassIndex,
    vector: Embedding,
    limit: int,
    sql_filter: str | None,
    max_distance: float | None,
) -> list[SearchHit]:
    if not index.store.dimension:
        return []
    hits = index.read(lambda store: store.vector(vector, limit, sql_filter))
    near = [hit for hit in hits if max_distance is None or 1 - hit.score <= max_distance]
    return [SearchHit(StoredObject.from_hit(hit), distance=1 - hit.score) for hit in near]


def _bm25_search(
    index: ClassIndex, search: Bm25, limit: int, sql_filter: str | None
) -> list[SearchHit]:
    hits = wait_for(_submit_bm25(index, search.query, search.properties, limit, sql_filter))
    return [
        SearchHit(
            StoredObject.from_hit(hit), score=hit.score, explanation=f"BM25 {hit.score:.6g}"
        )
        for hit in hits
    ]


def _hybrid_search(
    index: ClassIndex, search: Hybrid, limit: int, sql_filter: str | None
) -> list[SearchHit]:
    depth = max(_MIN_HALF, limit)
    vector = _hybrid_vector(index, search)
    # The keyword search runs in another thread while the query is embedded.
    pending = None
    if search.alpha < 1 and search.query.strip():
        query, properties = search.query, search.properties
        pending = _submit_bm25(index, query, properties, depth, sql_filter)
    near: list[SearchHit] = []
    if search.alpha > 0:
        if vector is None:
            vector = index.embed([search.query])[0]
        near = _vector_search(index, vector, depth, sql_filter, search.max_distance)
    words = [] if pending is None else wait_for(pending)
    objects = {hit.id: StoredObject.from_hit(hit) for hit in words}
    objects |= {hit.object.id: hit.object for hit in near}
    rankings = [
        [(hit.id, hit.score) for hit in words],
        [(hit.object.id, 1 - (hit.distance or 0)) for hit in near],
    ]
    weights = [1 - search.alpha, search.alpha]
    scores = fuse_parts(rankings, _FUSIONS[search.fusion], weights)
    best = sorted(scores, key=lambda id_: (-scores[id_][0], id_))[:limit]
    hits = []
    for id_ in best:
        score, (keyword, semantic) = scores[id_]
        explanation = f"{search.fusion}: keyword {keyword:.6g}, vector {semantic:.6g}"
        hits.append(SearchHit(objects[id_], score=score, explanation=explanation))
    return hits


def _submit_bm25(
    index: ClassIndex,
    query: str,
    properties: Weighted | None,
    limit: int,
    sql_filter: str | None,
) -> Future[list[Hit]]:
    """Start a keyword search; over several properties the weighted scores are summed.

    Raises InputError for a query that is too long.
    """
    check_query_length(query)
    if properties is None:
        return index.submit(lambda store: store.bm25(query, limit, sql_filter))
    columns = _weighted_columns(index, properties)
    # Deeper than the limit: the best in sum may be low in each.
    depth = max(1000, 4 * limit)

    def search_columns(store: LanceStore) -> list[Hit]:
        scores: dict[str, float] = {}
        hits: dict[str, Hit] = {}
        for column, weight in columns:
            for hit in store.bm25(query, depth, sql_filter, field=column):
                scores[hit.id] = scores.get(hit.id, 0.0) + weight * hit.score
                hits[hit.id] = hit
        best = sorted(scores, key=lambda id_: (-scores[id_], id_))[:limit]
        return [Hit(scores[id_], hits[id_].document) for id_ in best]

    return index.submit(search_columns)


def _weighted_columns(index: ClassIndex, properties: Weighted) -> list[tuple[str, float]]:
    columns = []
    for property_, weight in properties:
        # A property that no object has yet has no column.
        if property_.column is not None and property_.column in index.store.fields:
            index.store.index_field(property_.column)
            columns.append((property_.column, weight))
    return columns


def _query_vector(index: ClassIndex, search: NearText | NearVector | NearObject) -> Embedding:
    """Return the vector of a search; blocks where it embeds. Raises HttpError (422)."""
    if isinstance(search, NearText):
        return _near_text_vector(index, search)
    if isinstance(search, NearVector):
        return _check_vector(index, search.vector)
    stored = index.get_objects([search.id], vectors=True).get(search.id)
    if stored is None or stored.vector is None:
        raise unprocessable(f"nearObject: there is no object {search.id} with a vector")
    return _check_vector(index, stored.vector)


def _hybrid_vector(index: ClassIndex, search: Hybrid) -> Embedding | None:
    if search.vector is not None:
        return _check_vector(index, search.vector)
    if search.near_text is not None:
        return _check_vector(index, _near_text_vector(index, search.near_text))
    return None


def _near_text_vector(index: ClassIndex, near: NearText) -> Embedding:
    """Return the mean vector of the concepts, moved to and away from others."""
    vector = _mean_vector(index, near.concepts)
    for move, sign in ((near.move_to, -1), (near.move_away, 1)):
        if move is not None:
            difference = vector - _mean_vector(index, move.concepts)
            vector = vector + sign * move.force * _MOVE_STEP * difference
    return vector


def _mean_vector(index: ClassIndex, texts: Sequence[str]) -> Embedding:
    mean: Embedding = index.embed(texts).mean(axis=0)
    return mean


def _check_vector(index: ClassIndex, vector: Embedding) -> Embedding:
    dimension = index.store.dimension
    if dimension and len(vector) != dimension:
        raise unprocessable(f"vector lengths don't match: {len(vector)} is not {dimension}")
    if not vector.any():
        raise unprocessable("a vector of zeros has no direction")
    return vector


def _list_objects(
    index: ClassIndex,
    query: GetQuery,
    sql_filter: str | None,
    order: Sequence[tuple[str, bool]],
) -> list[SearchHit]:
    if query.after is not None:
        after = f"{DOC} > {quoted(query.after)}"
        sql_filter = after if sql_filter is None else f"({sql_filter}) AND {after}"
    hits = index.read(
        lambda store: store.list_passages(
            sql_filter,
            order=order,
            offset=query.offset,
            limit=query.limit,
            embeddings=query.vectors,
        )
    )
    return [SearchHit(StoredObject.from_hit(hit)) for hit in hits]


def _sort_order(index: ClassIndex, query: GetQuery) -> list[tuple[str, bool]]:
    """Return the columns to sort by, each with True for descending order."""
    columns = [(_sort_column(index, name), descending) for name, descending in query.sort]
    return [(column, descending) for column, descending in columns if column is not None]


def _sort_column(index: ClassIndex, name: str) -> str | None:
    """Return the column of a property; None if no object has a value yet."""
    if name in _SORT_COLUMNS:
        return _SORT_COLUMNS[name]
    property_ = index.definition.property(name)
    if property_.column is None:
        raise unprocessable(
            f"sort: '{name}' is of type {property_.data_type}, which cannot be sorted"
        )
    return property_.column if property_.column in index.store.fields else None


def _sort_ids(
    index: ClassIndex, hits: Sequence[SearchHit], order: Sequence[tuple[str, bool]]
) -> list[str]:
    ids = [hit.object.id for hit in hits]
    stored = index.read(
        lambda store: store.list_passages(one_of(DOC, ids), order=order, limit=len(ids))
    )
    return [hit.id for hit in stored]


def _with_vectors(index: ClassIndex, hits: list[SearchHit]) -> list[SearchHit]:
    stored = index.get_objects([hit.object.id for hit in hits], vectors=True)
    for hit in hits:
        # An object that was deleted meanwhile is returned as it was found.
        hit.object = stored.get(hit.object.id, hit.object)
    return hits
