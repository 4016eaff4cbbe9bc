"""Qdrant: BM25 of a text index or of sparse vectors, else its text filter; dense vectors.

A URL names a server, `qdrant://host:6333?collection=docs`, or a folder of the client's local
mode, `qdrant:///folder?collection=docs`, which one process opens at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError
from secondpass.retrieve.backends.collection_store import (
    SAMPLED_ROWS,
    CollectionStore,
    Problem,
    Row,
    add_named,
    call_client,
    flatten,
    load_client,
    sample_kinds,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_json import qdrant_filter
from secondpass.retrieve.backends.table_columns import choose_columns, choose_table
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS
from secondpass.retrieve.backends.word_ranking import (
    MAX_MATCHES,
    RANKING,
    query_words,
    score_texts,
)
from secondpass.retrieve.filter_tree import Filter
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("https", "sparse")
_UNNAMED = "(the unnamed vector)"


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a collection; see `Adapter`. The key of a server is `QDRANT_API_KEY`'s."""
    library = load_client(
        "qdrant_client", package="qdrant-client", extra="qdrant", feature="Qdrant"
    )
    client = call_client(lambda: _connect(library.QdrantClient, url), url, classify)
    try:
        return _open(client, url, embedder)
    except BaseException:
        client.close()
        raise


def _connect(client: Any, url: DatabaseURL) -> Any:
    if url.host is None:
        if not (url.file / "meta.json").is_file():
            raise InputError("there is no Qdrant folder", where=str(url.file))
        return client(path=str(url.file))
    return client(
        host=url.host,
        port=url.port or 6333,
        https=url.options.get("https", "false") == "true",
        api_key=url.secret or os.environ.get("QDRANT_API_KEY"),
        timeout=max(1, round(url.timeout)),
        check_compatibility=False,
    )


def _open(client: Any, url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:
    from qdrant_client import models

    def run(function: Any) -> Any:
        return call_client(function, url, classify)

    listed = run(lambda: [c.name for c in client.get_collections().collections])
    name = choose_table(url, listed)
    params = run(lambda: client.get_collection(name)).config.params
    vectors = params.vectors if isinstance(params.vectors, dict) else {"": params.vectors}
    dense = {n or _UNNAMED: v for n, v in vectors.items() if v is not None}
    points, _ = run(lambda: client.scroll(name, limit=SAMPLED_ROWS, with_payload=True))
    kinds = sample_kinds((flatten(p.payload or {}) for p in points), times=True)
    for field, index in run(lambda: client.get_collection(name)).payload_schema.items():
        kinds[field] = "datetime" if index.data_type == "datetime" else kinds.get(field, "text")
    key = "id" if "id" not in kinds else "_id"
    whole = not points or isinstance(points[0].id, int)
    known = {key: "integer" if whole else "text", **kinds, **dict.fromkeys(dense, "vector")}
    known, note = add_named(url, known, empty=not points)
    columns = choose_columns(url, known, table=name, key=key, vectors=list(dense))
    sparse = _sparse_vector(url, params.sparse_vectors or {})
    store = QdrantStore(url, columns, StoreInfo(url.redacted, _version(client), RANKING))
    store.client, store.collection, store.point_id, store.sparse = client, name, key, sparse
    ranking = f"BM25 of {sparse or 'the text index'}"
    if sparse is None:
        query = models.TextQuery(text="a")
        try:
            client.query_points(name, query=query, using=columns.text, limit=1)
            store.scored = True
        except Exception as error:
            if classify(error) != "request":
                raise
            ranking = RANKING
    store.info = StoreInfo(url.redacted, store.info.engine, ranking)
    vector = dense.get(columns.vector or "")
    if vector is not None:
        store.using = "" if columns.vector == _UNNAMED else columns.vector
        store.distance = str(vector.distance.value)
    return store.fit(embedder, None if vector is None else vector.size, store.probe, note)


def _sparse_vector(url: DatabaseURL, sparse: dict[str, Any]) -> str | None:
    """Return the sparse vector of the URL, or one that Qdrant gives an idf, as BM25's have."""
    named = url.options.get("sparse")
    if named is not None:
        return choose_named(url, named, sparse)
    return next(
        (n for n, p in sparse.items() if p.modifier and p.modifier.value == "idf"), None
    )


def choose_named(url: DatabaseURL, name: str, known: Iterable[str]) -> str:
    """Return a name that is known; raises InputError with the nearest else."""
    from secondpass.errors import nearest

    if name not in (names := list(known)):
        fix = nearest(name, names) or "The collection has none."
        raise InputError(f"there is no sparse vector {name!r}", where=url.redacted, fix=fix)
    return name


def _version(client: Any) -> str:
    from importlib.metadata import version

    try:
        return f"Qdrant {client.info().version}"
    except Exception:  # noqa: BLE001 - local mode has no server to ask
        return f"Qdrant, local mode of qdrant-client {version('qdrant-client')}"


class QdrantStore(CollectionStore):
    """A collection of Qdrant; safe to use from several threads."""

    client: Any
    collection: str
    point_id: str
    sparse: str | None = None
    scored = False
    using: str | None = None
    distance = "Cosine"

    def count_passages(self) -> int:
        """Return the number of points, estimated by a server."""
        return int(self.call(lambda: self.client.count(self.collection, exact=False)).count)

    def search_words(
        self, query: str, limit: int, tree: Filter | None, vectors: bool
    ) -> Iterable[Row]:
        """Search by the sparse vector, the text index, or the text filter."""
        from qdrant_client import models

        if self.sparse is not None:
            sparse = _bm25(self.url).embed_query(query)
            if not sparse.indices:
                return []
            vector = models.SparseVector(indices=sparse.indices, values=sparse.values)
            return self._query(vector, self.sparse, limit, tree, vectors)
        if self.scored:
            text = models.TextQuery(text=query)
            return self._query(text, self.columns.text, limit, tree, vectors)
        return self._match(query, tree, vectors)

    def search_vectors(
        self, embedding: Embedding, limit: int, tree: Filter | None
    ) -> Iterable[Row]:
        """Search by the dense vector."""
        rows = self._query(embedding.tolist(), self.using or None, limit, tree, False)
        return [Row(r.values, self._cosine(r.score)) for r in rows]

    def probe(self) -> list[Row]:
        """Return some points with their vectors."""
        limit = PROBED_ROWS
        points, _ = self.client.scroll(self.collection, limit=limit, with_vectors=True)
        return [self._row(point) for point in points]

    def classify(self, error: Exception) -> Problem | None:
        """Return what an error is about."""
        return classify(error)

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def _query(
        self, query: Any, using: str | None, limit: int, tree: Filter | None, vectors: bool
    ) -> list[Row]:
        condition = self._filter(tree)
        if condition is False:
            return []
        found = self.client.query_points(
            self.collection,
            query=query,
            using=using,
            query_filter=None if condition is True else condition,
            limit=limit,
            with_vectors=self._with_vectors(vectors),
            with_payload=True,
        )
        return [self._row(point) for point in found.points]

    def _match(self, query: str, tree: Filter | None, vectors: bool) -> list[Row]:
        """Find points with a word of the query, and rank them here."""
        from qdrant_client import models

        words, condition = query_words(query), self._filter(tree)
        if not words or condition is False:
            return []
        match = models.MatchTextAny(text_any=" ".join(words))
        must: list[Any] = [models.FieldCondition(key=self.columns.text, match=match)]
        points, _ = self.client.scroll(
            self.collection,
            scroll_filter=models.Filter(must=must + [condition] * (condition is not True)),
            limit=MAX_MATCHES,
            with_vectors=self._with_vectors(vectors),
        )
        rows = [self._row(point) for point in points]
        texts = [str(row.values.get(self.columns.text) or "") for row in rows]
        scores = score_texts(words, texts, self.client.count(self.collection).count)
        return [Row(r.values, s, r.vector) for r, s in zip(rows, scores, strict=True)]

    def _filter(self, tree: Filter | None) -> Any:
        return True if tree is None else qdrant_filter(tree, self.point_id)

    def _with_vectors(self, vectors: bool) -> Any:
        if not vectors or self.using is None:
            return False
        return [self.using] if self.using else True

    def _row(self, point: Any) -> Row:
        import numpy as np

        vector = point.vector
        if isinstance(vector, dict):
            vector = vector.get(self.using or "")
        values = {**flatten(point.payload or {}), self.point_id: point.id}
        found = None if vector is None else np.asarray(vector, np.float32)
        return Row(values, float(getattr(point, "score", 0.0)), found)

    def _cosine(self, score: float) -> float:
        """Return the cosine of unit vectors from a distance."""
        return 1 - score * score / 2 if self.distance == "Euclid" else score


def _bm25(url: DatabaseURL) -> Any:
    """Return what makes the sparse vector of a query, as Qdrant's own model `bm25` does."""
    edge = load_client(
        "qdrant_edge", package="qdrant-edge-py", extra="qdrant", feature="BM25 in Qdrant"
    )
    language = url.analyzer
    return edge.Bm25(edge.Bm25Config(language=language) if language else None)


def classify(error: Exception) -> Problem | None:
    """Return what an error of the client is about."""
    from qdrant_client.http import exceptions

    if isinstance(error, exceptions.ResponseHandlingException):
        return "timeout" if "timed out" in str(error) else "connection"
    if isinstance(error, exceptions.UnexpectedResponse | ValueError | RuntimeError):
        return None if isinstance(error, InputError) else "request"
    return "connection" if isinstance(error, OSError) else None
