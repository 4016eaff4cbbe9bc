"""The first pass of a query: by vector, by words, by both, or just in order.

Cutting a ranking where its scores jump.

What a query finds: objects with what is said of them besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from secondpass.retrieve.backends.lance.schema import ID
from secondpass.retrieve.fusion import fuse_parts
from secondpass.retrieve.metadata import quoted
from secondpass.retrieve.store_protocol import Hit
from secondpass.server.scheduler.scheduled_models import awaited
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.objects import CREATED, UPDATED, StoredObject, from_hit
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.store_protocol import Embedding


def autocut(scores: Sequence[float], jumps: int) -> int:
    """Return how many results stand before the given number of jumps, all if there are fewer.

    Scores, or distances, are scaled from the first to the last; a jump is where they are
    further from a straight line than at both neighbours. As the database does it. `jumps`
    below 1 cuts nothing.
    """
    if len(scores) <= 1 or jumps < 1 or scores[0] == scores[-1]:
        return len(scores)
    step, span = 1 / (len(scores) - 1), scores[-1] - scores[0]
    above = [(score - scores[0]) / span - step * i for i, score in enumerate(scores)]
    # The last one has no neighbour after it.
    above.append(above[-3] if len(above) > 2 else above[-2])
    found = 0
    for i in range(1, len(scores)):
        if above[i] > above[i - 1] and above[i] > above[i + 1]:
            found += 1
            if found == jumps:
                return i
    return len(scores)


@dataclass(slots=True)
class FoundObject:
    """An object that was found.

    - `distance`: 1 minus the cosine, from 0 to 2, of a search by vector.
    - `score`: of BM25 or of a fusion; `explained`: what it is made of.
    - `reranked`: scores of the second pass, by property and query as they were asked for.
    """

    object: StoredObject
    distance: float | None = None
    score: float | None = None
    explained: str | None = None
    reranked: dict[tuple[str | None, str | None], float] = field(default_factory=dict)

    @property
    def certainty(self) -> float | None:
        """The distance scaled to 1 for the same direction and 0 for the opposite one."""
        return None if self.distance is None else 1 - self.distance / 2

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties of the object."""
        return self.object.properties


Fusion = Literal["rankedFusion", "relativeScoreFusion"]
_METHODS: Mapping[Fusion, str] = {"rankedFusion": "rrf", "relativeScoreFusion": "weighted"}
# Each half of a hybrid search gives at least so many, as in the database.
_LEAST_HALF = 100


def by_vector(
    index: ClassIndex,
    vector: Embedding,
    limit: int,
    condition: str | None,
    furthest: float | None,
) -> list[FoundObject]:
    """Return the nearest objects that are no further than `furthest`, of 0 to 2."""
    if not index.store.dimension:
        return []
    hits = index.read(lambda store: store.vector(vector, limit, condition))
    near = [hit for hit in hits if furthest is None or 1 - hit.score <= furthest]
    return [FoundObject(from_hit(hit), distance=1 - hit.score) for hit in near]


def by_words(
    index: ClassIndex,
    query: str,
    properties: Sequence[str] | None,
    limit: int,
    condition: str | None,
) -> list[FoundObject]:
    """Return the objects with the highest BM25 over all texts, or over these properties.

    Of several properties the scores are summed, each with its weight, `name^weight`.
    """
    if not query.strip():
        raise refused("keyword search (bm25) must have query set")
    hits = awaited(_bm25(index, query, properties, limit, condition))
    return [
        FoundObject(from_hit(hit), score=hit.score, explained=f"BM25 {hit.score:.6g}")
        for hit in hits
    ]


def by_both(
    index: ClassIndex,
    query: str,
    vector: Callable[[], Embedding] | None,
    properties: Sequence[str] | None,
    limit: int,
    condition: str | None,
    *,
    alpha: float,
    fusion: Fusion,
    furthest: float | None = None,
) -> list[FoundObject]:
    """Return objects by words and by vector, fused: `alpha` is the share of the vector.

    While the words are looked for, `vector` is asked for the vector.
    """
    half = max(_LEAST_HALF, limit)
    begun = _bm25(index, query, properties, half, condition) if query.strip() else None
    near = [] if vector is None else by_vector(index, vector(), half, condition, furthest)
    words = [] if begun is None else awaited(begun)
    rankings = [
        [(hit.id, hit.score) for hit in words],
        [(one.object.id, 1 - (one.distance or 0)) for one in near],
    ]
    scores = fuse_parts(rankings, _METHODS[fusion], [1 - alpha, alpha])
    objects = {hit.id: from_hit(hit) for hit in words}
    objects |= {one.object.id: one.object for one in near}
    best = sorted(scores.items(), key=lambda item: (-item[1][0], item[0]))[:limit]
    return [
        FoundObject(
            objects[name],
            score=score,
            explained=f"{fusion}: keyword {keyword:.6g}, vector {similarity:.6g}",
        )
        for name, (score, (keyword, similarity)) in best
    ]


def in_order(
    index: ClassIndex,
    condition: str | None,
    order: Sequence[tuple[str, bool]],
    *,
    offset: int = 0,
    limit: int,
    after: str | None = None,
    vectors: bool = False,
) -> list[FoundObject]:
    """Return objects by these columns, falling where paired with True, then by id.

    `after` is an id: only those behind it come.
    """
    if after is not None:
        behind = f"{ID} > {quoted(after)}"
        condition = behind if condition is None else f"({condition}) AND {behind}"
    hits = index.read(
        lambda store: store.list_passages(
            condition, order=order, offset=offset, limit=limit, embeddings=vectors
        )
    )
    return [FoundObject(from_hit(hit)) for hit in hits]


def sort_column(index: ClassIndex, name: str) -> str | None:
    """Return the column to sort by, None where no object has one; raises Problem (422)."""
    special = {"id": ID, "_id": ID}
    special |= {"_creationTimeUnix": CREATED, "_lastUpdateTimeUnix": UPDATED}
    if name in special:
        return special[name]
    one = index.definition.property(name)
    if one.column is None:
        raise refused(f"sort: '{name}' is of type {one.data_type}, which has no order")
    return one.column if one.column in index.store.fields else None


def _bm25(
    index: ClassIndex,
    query: str,
    properties: Sequence[str] | None,
    limit: int,
    condition: str | None,
) -> Future[list[Hit]]:
    if properties is None:
        return index.begin(lambda store: store.bm25(query, limit, condition))
    weighted = _weighted(index, properties)
    # Deep enough that what is best in sum is not missed for being low in each.
    deep = max(1000, 4 * limit)

    def summed(store: LanceStore) -> list[Hit]:
        sums: dict[str, float] = {}
        hits: dict[str, Hit] = {}
        for column, weight in weighted:
            for hit in store.bm25(query, deep, condition, field=column):
                sums[hit.id] = sums.get(hit.id, 0.0) + weight * hit.score
                hits[hit.id] = hit
        best = sorted(sums, key=lambda name: (-sums[name], name))[:limit]
        return [Hit(name, sums[name], hits[name].document) for name in best]

    return index.begin(summed)


def _weighted(index: ClassIndex, properties: Sequence[str]) -> list[tuple[str, float]]:
    found = []
    for given in properties:
        name, mark, said = given.partition("^")
        try:
            weight = float(said) if mark else 1.0
        except ValueError:
            weight = -1.0
        if not 0 <= weight < float("inf"):
            raise refused(f"bm25: the weight of {given!r:.80} is no number from 0 up")
        one = index.definition.property(name)
        if not one.searchable or one.column is None:
            raise refused(f"bm25: property '{name}' is not searchable")
        if one.column in index.store.fields:
            index.store.index_field(one.column)
            found.append((one.column, weight))
    return found
