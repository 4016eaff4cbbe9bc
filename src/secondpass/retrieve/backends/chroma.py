"""Chroma: vectors, and keyword search by its text filter, ranked here.

A URL names a folder, `chroma:///folder?collection=docs`, or a server,
`chroma://host:8000?collection=docs`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError
from secondpass.retrieve.backends.collection_store import (
    SAMPLED_ROWS,
    CollectionStore,
    Problem,
    Row,
    call_client,
    choose_sampled,
    is_encrypted,
    load_client,
    sample_kinds,
    search_deeper,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_json import chroma_document, chroma_where
from secondpass.retrieve.backends.table_columns import choose_table
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, to_vector
from secondpass.retrieve.backends.word_scores import (
    MAX_MATCHES,
    RANKING,
    query_words,
    score_rows,
)
from secondpass.retrieve.filter_tree import Filter
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("https", "database", "tenant")
_TEXT, _VECTOR = "document", "embedding"
_NO_WORDS = "Chroma finds words in documents only, not in metadata"


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a collection; see `Adapter`. The token of a server is `CHROMA_API_KEY`'s."""
    chroma = load_client("chromadb", package="chromadb", extra="chroma", feature="Chroma")
    run = partial(call_client, url=url, classify=ChromaStore.classify)
    client = run(lambda: _connect(chroma, url))
    with close_on_error(partial(_close, client)):
        name = choose_table(url, run(lambda: [c.name for c in client.list_collections()]))
        collection = run(lambda: client.get_collection(name, embedding_function=None))
        sample = run(lambda: collection.get(limit=SAMPLED_ROWS, include=["metadatas"]))
        kinds = sample_kinds(m or {} for m in sample["metadatas"])
        kinds = {_TEXT: "text", **kinds, _VECTOR: "vector"}
        columns, key, note = choose_sampled(url, name, kinds, empty=not sample["ids"])
        ranking = RANKING if columns.text == _TEXT else None
        info = StoreInfo(url.redacted, f"Chroma {chroma.__version__}", ranking)
        store = ChromaStore(url, columns, info)
        store.client, store.collection, store.key = client, collection, key
        configured = collection.configuration_json or {}
        index = configured.get("hnsw") or configured.get("spann") or {}
        store.space = str(index.get("space", "l2"))
        return store.fit(embedder, note=note if ranking is not None else _NO_WORDS)


def _connect(chroma: Any, url: DatabaseURL) -> Any:
    settings = chroma.config.Settings(anonymized_telemetry=False)
    place = {n: url.options[n] for n in ("tenant", "database") if n in url.options}
    if url.host is None:
        # The client would make a new, empty database.
        if not (url.file / "chroma.sqlite3").is_file():
            raise InputError("there is no Chroma folder", where=str(url.file))
        return chroma.PersistentClient(str(url.file), settings=settings, **place)
    token = url.secret or os.environ.get("CHROMA_API_KEY")
    client = chroma.HttpClient(
        url.host,
        url.port or 8000,
        ssl=is_encrypted(url),
        headers={"x-chroma-token": token} if token else None,
        settings=settings,
        **place,
    )
    # The client waits without end, and has no setting for it.
    for session in _sessions(client):
        session.timeout = url.timeout
    return client


def _close(client: Any) -> None:
    client.close()
    # Clients of one server share connections, which the last one leaves open.
    if client._identifier not in client._identifier_to_system:
        for session in _sessions(client):
            session.close()


def _sessions(client: Any) -> list[Any]:
    servers = [client._server, getattr(client._admin_client, "_server", None)]
    return [s._session for s in servers if hasattr(s, "_session")]


class ChromaStore(CollectionStore):
    """A collection of Chroma; safe to use from several threads."""

    collection: Any
    key: str
    space = "l2"

    @property
    def fields(self) -> dict[str, str]:
        """The metadata that a filter can name; the id is none."""
        return {n: k for n, k in self.columns.filtered.items() if n != self.key}

    def count_passages(self) -> int:
        """Return the number of documents."""
        return int(self.call(self.collection.count))

    def translate(self, tree: Filter) -> Any:
        """Return a condition, and the filter that rows must pass too where it is not enough."""
        where, exact = chroma_where(tree, self.fields)
        if isinstance(where, bool):
            return where and (exact or (None, tree))
        return where, None if exact else tree

    def search_words(self, query: str, limit: int, condition: Any, vectors: bool) -> list[Row]:
        """Find documents with a word of the query, and rank them here."""
        words = query_words(query)
        if not words:
            return []
        rows = self._search(
            self.collection.get,
            MAX_MATCHES,
            condition,
            where_document=chroma_document(words),
            include=["documents", "metadatas", *(["embeddings"] if vectors else [])],
        )
        return score_rows(rows, _TEXT, words, self.collection.count())

    def search_vectors(self, embedding: Embedding, limit: int, condition: Any) -> list[Row]:
        """Search by the embeddings."""

        def find(limit: int, **options: Any) -> Mapping[str, Any]:
            vector, include = [embedding.tolist()], ["documents", "metadatas", "distances"]
            found = self.collection.query(vector, n_results=limit, include=include, **options)
            return {name: found[name][0] for name in ("ids", *include)}

        return self._search(find, limit, condition)

    def sample(self) -> list[Row]:
        """Return the first documents with their vectors."""
        include = ["documents", "metadatas", "embeddings"]
        return self._rows(self.collection.get(limit=PROBED_ROWS, include=include))

    def close(self) -> None:
        """Close the client."""
        _close(self.client)

    def _search(
        self, find: Callable[..., Mapping[str, Any]], limit: int, condition: Any, **options: Any
    ) -> list[Row]:
        where, check = condition or (None, None)
        search = partial(find, where=where, **options)
        return search_deeper(lambda depth: self._rows(search(limit=depth)), limit, check)

    def _rows(self, found: Mapping[str, Any]) -> list[Row]:
        names = ("documents", "metadatas", "distances", "embeddings")
        parts = [repeat(None) if found.get(n) is None else found[n] for n in names]
        scale = 2 if self.space == "l2" else 1  # "l2" is the squared distance.
        rows = zip(found["ids"], *parts, strict=False)
        return [
            Row(
                {**(metadata or {}), _TEXT: text, self.key: name},
                0.0 if distance is None else 1 - distance / scale,
                to_vector(vector),
            )
            for name, text, metadata, distance, vector in rows
        ]

    @staticmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about."""
        import httpx
        from chromadb.errors import ChromaError

        if isinstance(error, httpx.TimeoutException):
            return "timeout"
        known = isinstance(error, ChromaError | ValueError | RuntimeError)
        # The index of vectors may still have a row that was just deleted.
        lost = any(words in str(error) for words in ("Could not connect", "Error finding id"))
        if isinstance(error, httpx.TransportError | OSError) or (known and lost):
            return "connection"
        return "request" if known else None
