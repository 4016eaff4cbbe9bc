"""Chroma: vectors, and keyword search by its text filter, ranked here.

A URL names a folder, `chroma:///folder?collection=docs`, or a server,
`chroma://host:8000?collection=docs`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError
from secondpass.retrieve.backends.collection_store import (
    SAMPLED_ROWS,
    CollectionStore,
    Problem,
    Row,
    add_named,
    call_client,
    is_encrypted,
    load_client,
    sample_kinds,
    search_deeper,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_json import chroma_where
from secondpass.retrieve.backends.table_columns import choose_columns, choose_table
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS
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


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a collection; see `Adapter`. The token of a server is `CHROMA_API_KEY`'s."""
    chroma = load_client("chromadb", package="chromadb", extra="chroma", feature="Chroma")
    client = call_client(lambda: _connect(chroma, url), url, classify)
    try:
        return _open(client, url, embedder, f"Chroma {chroma.__version__}")
    except BaseException:
        _close(client)
        raise


def _open(
    client: Any, url: DatabaseURL, embedder: TextEncoder | None, engine: str
) -> HybridRetriever:
    listed = call_client(lambda: [c.name for c in client.list_collections()], url, classify)
    name = choose_table(url, listed)
    collection = call_client(
        lambda: client.get_collection(name, embedding_function=None), url, classify
    )
    sample = call_client(
        lambda: collection.get(limit=SAMPLED_ROWS, include=["metadatas"]), url, classify
    )
    kinds = sample_kinds(m or {} for m in sample["metadatas"])
    key = "id" if "id" not in kinds else "_id"
    known = {key: "text", _TEXT: "text", **kinds, _VECTOR: "vector"}
    known, note = add_named(url, known, empty=not sample["ids"])
    columns = choose_columns(url, known, table=name, key=key, vectors=[_VECTOR])
    ranking = RANKING if columns.text == _TEXT else None
    store = ChromaStore(url, columns, StoreInfo(url.redacted, engine, ranking))
    store.client, store.collection, store.key = client, collection, key
    store.space = _space(collection)
    note = note if ranking else "Chroma finds words in documents only, not in metadata"
    return store.fit(embedder, None, store.probe, note)


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
    """Return the HTTP sessions of a client of a server."""
    servers = [client._server, getattr(client._admin_client, "_server", None)]
    return [s._session for s in servers if hasattr(s, "_session")]


def _space(collection: Any) -> str:
    configured = collection.configuration_json or {}
    index = configured.get("hnsw") or configured.get("spann") or {}
    return str(index.get("space", "l2"))


class ChromaStore(CollectionStore):
    """A collection of Chroma; safe to use from several threads."""

    client: Any
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

    def search_words(
        self, query: str, limit: int, tree: Filter | None, vectors: bool
    ) -> Iterable[Row]:
        """Find documents with a word of the query, and rank them here."""
        words = query_words(query)
        if not words:
            return []
        patterns = [{"$regex": f"(?i){_pattern(word)}"} for word in words]
        condition = patterns[0] if len(patterns) == 1 else {"$or": patterns}
        include = ["documents", "metadatas", *(["embeddings"] if vectors else [])]

        def find(depth: int, where: dict[str, Any] | None) -> list[Row]:
            found = self.collection.get(
                where=where, where_document=condition, limit=depth, include=include
            )
            return self._rows({name: [value] for name, value in found.items()})

        rows = self._search(find, MAX_MATCHES, tree)
        return score_rows(rows, _TEXT, words, self.collection.count())

    def search_vectors(
        self, embedding: Embedding, limit: int, tree: Filter | None
    ) -> Iterable[Row]:
        """Search by the embeddings."""

        def find(depth: int, where: dict[str, Any] | None) -> list[Row]:
            found = self.collection.query(
                query_embeddings=[embedding.tolist()],
                n_results=depth,
                where=where,
                include=["documents", "metadatas", "distances"],
            )
            return self._rows(found)

        return self._search(find, limit, tree)

    def probe(self) -> list[Row]:
        """Return some documents with their vectors."""
        include = ["documents", "metadatas", "embeddings"]
        found = self.collection.get(limit=PROBED_ROWS, include=include)
        return self._rows({name: [value] for name, value in found.items()})

    def classify(self, error: Exception) -> Problem | None:
        """Return what an error is about."""
        return classify(error)

    def close(self) -> None:
        """Close the client."""
        _close(self.client)

    def _search(
        self,
        find: Callable[[int, dict[str, Any] | None], list[Row]],
        limit: int,
        tree: Filter | None,
    ) -> list[Row]:
        """Return rows that pass; deeper where Chroma's condition lets others through too."""
        condition: dict[str, Any] | bool = True
        exact = True
        if tree is not None:
            condition, exact = chroma_where(tree, self.fields)
        if condition is False:
            return []
        where = None if condition is True else condition
        check = None if exact else tree
        return search_deeper(lambda depth: find(depth, where), limit, check)

    def _rows(self, found: Any) -> list[Row]:
        """Return the rows of the only query of a response."""
        import numpy as np

        def column(name: str) -> Sequence[Any]:
            values = found.get(name)
            return [None] * len(ids) if values is None or values[0] is None else values[0]

        ids = found["ids"][0]
        rows = zip(
            ids,
            *(column(n) for n in ("documents", "metadatas", "distances", "embeddings")),
            strict=True,
        )
        return [
            Row(
                {**(metadata or {}), _TEXT: text, self.key: name},
                0.0 if distance is None else self._cosine(distance),
                None if vector is None else np.asarray(vector, np.float32),
            )
            for name, text, metadata, distance, vector in rows
        ]

    def _cosine(self, distance: float) -> float:
        """Return the cosine of unit vectors; "l2" is the squared distance."""
        return 1 - distance / 2 if self.space == "l2" else 1 - distance


def _pattern(word: str) -> str:
    """Return the regular expression of a word; words of scripts without spaces have no ends."""
    return rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word)


def classify(error: Exception) -> Problem | None:
    """Return what an error of the client is about."""
    import httpx
    from chromadb.errors import ChromaError

    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    if isinstance(error, httpx.TransportError | OSError):
        return "connection"
    if isinstance(error, InputError):
        return None
    if isinstance(error, ValueError) and "Could not connect" in str(error):
        return "connection"
    return "request" if isinstance(error, ChromaError | ValueError | RuntimeError) else None
