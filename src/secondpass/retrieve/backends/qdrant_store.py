"""Search of one Qdrant collection."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.backends.collection_store import (
    CollectionStore,
    Problem,
    Row,
    flatten,
    load_client,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_json import qdrant_filter
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, to_vector
from secondpass.retrieve.backends.word_scores import MAX_MATCHES, query_words, score_rows
from secondpass.retrieve.filter_tree import Filter

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


class QdrantStore(CollectionStore):
    """A collection of Qdrant; safe to use from several threads."""

    collection: str
    point_id: str
    sparse: str | None = None
    scored = False
    using: str | None = None
    distance = "Cosine"

    def count_passages(self) -> int:
        """Return the number of points, estimated by a server."""
        return int(self.call(lambda: self.client.count(self.collection, exact=False)).count)

    def translate(self, tree: Filter) -> Any:
        """Return a filter of Qdrant."""
        return qdrant_filter(tree, self.point_id)

    def search_words(self, query: str, limit: int, condition: Any, vectors: bool) -> list[Row]:
        """Search by the sparse vector, the text index, or the text filter."""
        from qdrant_client import models

        if self.sparse is not None:
            sparse = _bm25(self.url).embed_query(query)
            if not sparse.indices:
                return []
            vector = models.SparseVector(indices=sparse.indices, values=sparse.values)
            return self._query(vector, self.sparse, limit, condition, vectors)
        if self.scored:
            text = models.TextQuery(text=query)
            return self._query(text, self.columns.text, limit, condition, vectors)
        return self._match(query, condition, vectors)

    def search_vectors(self, embedding: Embedding, limit: int, condition: Any) -> list[Row]:
        """Search by the dense vector."""
        rows = self._query(embedding.tolist(), self.using or None, limit, condition, False)
        return [replace(row, score=self._cosine(row.score)) for row in rows]

    def sample(self) -> list[Row]:
        """Return the first points with their vectors."""
        limit = PROBED_ROWS
        points, _ = self.client.scroll(self.collection, limit=limit, with_vectors=True)
        return [self._row(point) for point in points]

    def _query(
        self, query: Any, using: str | None, limit: int, condition: Any, vectors: bool
    ) -> list[Row]:
        found = self.client.query_points(
            self.collection,
            query=query,
            using=using,
            query_filter=condition,
            limit=limit,
            with_vectors=self._with_vectors(vectors),
            with_payload=True,
        )
        return [self._row(point) for point in found.points]

    def _match(self, query: str, condition: Any, vectors: bool) -> list[Row]:
        """Find points with a word of the query, and rank them here."""
        from qdrant_client import models

        words = query_words(query)
        if not words:
            return []
        match = models.MatchTextAny(text_any=" ".join(words))
        must: list[Any] = [models.FieldCondition(key=self.columns.text, match=match)]
        points, _ = self.client.scroll(
            self.collection,
            scroll_filter=models.Filter(must=must + [condition] * (condition is not None)),
            limit=MAX_MATCHES,
            with_vectors=self._with_vectors(vectors),
        )
        rows = [self._row(point) for point in points]
        total = self.client.count(self.collection, exact=False).count
        return score_rows(rows, self.columns.text, words, total)

    def _with_vectors(self, vectors: bool) -> Any:
        if not vectors or self.using is None:
            return False
        return [self.using] if self.using else True

    def _row(self, point: Any) -> Row:
        vector = point.vector
        if isinstance(vector, dict):
            vector = vector.get(self.using or "")
        values = {**flatten(point.payload or {}), self.point_id: point.id}
        return Row(values, float(getattr(point, "score", 0.0)), to_vector(vector))

    def _cosine(self, score: float) -> float:
        """Return the cosine of unit vectors from a distance."""
        return 1 - score * score / 2 if self.distance == "Euclid" else score

    @staticmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about."""
        from qdrant_client.http import exceptions

        if isinstance(error, exceptions.ResponseHandlingException):
            return "timeout" if "timed out" in str(error) else "connection"
        if isinstance(error, exceptions.UnexpectedResponse | ValueError | RuntimeError):
            return "request"
        return "connection" if isinstance(error, OSError) else None


def _bm25(url: DatabaseURL) -> Any:
    """Return what makes the sparse vector of a query, as Qdrant's own model `bm25` does."""
    edge = load_client(
        "qdrant_edge", package="qdrant-edge-py", extra="qdrant", feature="BM25 in Qdrant"
    )
    language = url.analyzer
    return edge.Bm25(edge.Bm25Config(language=language) if language else None)
