"""Weaviate: BM25 and vectors, by its GraphQL interface over HTTP.

A URL names a server, `weaviate://host:8080?collection=Docs&https=true`. It is tested with the
Weaviate API of secondpass's own server, not with Weaviate itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.backends.collection_store import (
    CollectionStore,
    Problem,
    Row,
    call_client,
    is_encrypted,
    load_client,
    search_deeper,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.table_columns import choose_columns, choose_table
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, to_vector
from secondpass.retrieve.backends.weaviate_query import (
    UNNAMED,
    quoted,
    vector_spaces,
    weaviate_where,
)
from secondpass.retrieve.filter_tree import Filter
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("https", "tenant")
MAX_RESULTS = 10_000
"""The most results of one search (`QUERY_MAXIMUM_RESULTS`)."""
_KINDS = {
    **{"text": "text", "string": "text", "uuid": "text", "int": "integer"},
    **{"number": "number", "boolean": "boolean", "date": "datetime"},
}
_LISTS = frozenset(f"{kind}[]" for kind in _KINDS)


class WeaviateError(Exception):
    """What Weaviate says of a request that it refuses."""


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a collection; see `Adapter`. The key of a server is `WEAVIATE_API_KEY`'s."""
    httpx2 = load_client("httpx2", package="httpx2", extra="weaviate", feature="Weaviate")
    host = f"[{url.host}]" if url.host and ":" in url.host else url.host or "localhost"
    secret = url.secret or os.environ.get("WEAVIATE_API_KEY")
    client = httpx2.Client(
        base_url=f"{'https' if is_encrypted(url) else 'http'}://{host}:{url.port or 8080}/v1",
        headers={"Authorization": f"Bearer {secret}"} if secret else {},
        timeout=httpx2.Timeout(url.timeout, connect=url.connect_timeout),
    )
    run = partial(call_client, url=url, classify=WeaviateStore.classify)
    with close_on_error(client.close):
        classes = {c["class"]: c for c in run(lambda: _ask(client, "/schema"))["classes"] or ()}
        name = choose_table(url, list(classes))
        declared = {p["name"]: p for p in classes[name].get("properties") or ()}
        types = {n: p["dataType"][0] for n, p in declared.items()}
        kinds = {n: _KINDS.get(t, "json") for n, t in types.items() if t in (*_KINDS, *_LISTS)}
        spaces = vector_spaces(classes[name])
        own = {} if url.id is not None and url.id != "id" else {"id": "text"}
        known = {**own, **kinds, **dict.fromkeys(spaces, "vector")}
        columns = choose_columns(url, known, table=name, key="id" if own else None)
        texts = [n for n in (columns.title, columns.text) if n is not None]
        words = [n for n in texts if declared[n].get("indexSearchable") is not False]
        engine = f"Weaviate {run(lambda: _ask(client, '/meta'))['version']}"
        info = StoreInfo(url.redacted, engine, "BM25 of Weaviate" if words else None)
        store = WeaviateStore(url, columns, info)
        store.client, store.collection, store.words = client, name, words
        whole = [n for n, p in declared.items() if p.get("tokenization") == "field"]
        store.types = {n: t for n, t in types.items() if t != "text" or n in whole}
        store.space = spaces.get(columns.vector or "", "cosine")
        skipped = ", ".join(n for n in declared if n not in kinds)
        note = f"properties that are not read: {skipped}" if skipped else None
        return store.fit(embedder, note=note if words else "no text property is searchable")


def _ask(client: Any, path: str, body: Mapping[str, Any] | None = None) -> Any:
    response = client.request("GET" if body is None else "POST", path, json=body)
    try:
        found = response.json()
    except ValueError:
        found = {"error": response.text[:200]}
    errors = None if not isinstance(found, dict) else found.get("errors") or found.get("error")
    if errors or not response.is_success:
        raise WeaviateError(f"status {response.status_code}: {json.dumps(errors)[:300]}")
    return found


class WeaviateStore(CollectionStore):
    """A collection of Weaviate; safe to use from several threads."""

    collection: str
    words: list[str]
    types: Mapping[str, str]
    space = "cosine"

    def count_passages(self) -> int:
        """Return the number of objects."""
        query = f"{{Aggregate{{{self.collection}{self._arguments()}{{meta{{count}}}}}}}}"
        found = self.call(lambda: _ask(self.client, "/graphql", {"query": query}))
        return int(found["data"]["Aggregate"][self.collection][0]["meta"]["count"])

    def translate(self, tree: Filter) -> Any:
        """Return a condition, and the filter that objects must pass too."""
        where, exact = weaviate_where(tree, self.types)
        if isinstance(where, bool):
            return where and (exact or (None, tree))
        return where, None if exact else tree

    def search_words(self, query: str, limit: int, condition: Any, vectors: bool) -> list[Row]:
        """Search the text and the title by `bm25`."""
        search = f"bm25: {{query: {quoted(query)}, properties: {json.dumps(self.words)}}}"
        return self._search(search, "score", limit, condition, vectors)

    def search_vectors(self, embedding: Embedding, limit: int, condition: Any) -> list[Row]:
        """Search by `nearVector`."""
        named = self.columns.vector != UNNAMED
        target = f", targetVectors: {json.dumps([self.columns.vector])}" if named else ""
        search = f"nearVector: {{vector: {json.dumps(embedding.tolist())}{target}}}"
        rows = self._search(search, "distance", limit, condition, False)
        return [replace(row, score=self._cosine(row.score)) for row in rows]

    def sample(self) -> list[Row]:
        """Return the first objects with their vectors."""
        return self._search("", "", PROBED_ROWS, None, True)

    def _cosine(self, distance: float) -> float:
        if self.space == "dot":
            return -distance
        return 1 - distance / 2 if self.space == "l2-squared" else 1 - distance

    def _search(
        self, search: str, score: str, limit: int, condition: Any, vectors: bool
    ) -> list[Row]:
        """Return rows that pass; deeper where Weaviate's condition lets others through too."""
        where, check = condition or (None, None)
        vector, more = self.columns.vector, ""
        if vectors and vector is not None:
            more = "vector" if vector == UNNAMED else f"vectors{{{vector}}}"
        fields = " ".join(n for n in self.columns.read if n != "id")

        def find(depth: int) -> list[Row]:
            parts = [search, f"limit: {min(depth, MAX_RESULTS)}"]
            parts += [] if where is None else [f"where: {where}"]
            query = (
                f"{{Get{{{self.collection}{self._arguments(*parts)}"
                f"{{{fields} _additional{{id {score} {more}}}}}}}}}"
            )
            found = _ask(self.client, "/graphql", {"query": query})
            objects = found["data"]["Get"][self.collection] or ()
            return [self._row(one, score) for one in objects]

        return search_deeper(find, limit, check)

    def _arguments(self, *parts: str) -> str:
        tenant = self.url.options.get("tenant")
        given = [p for p in parts if p] + (
            [] if tenant is None else [f"tenant: {quoted(tenant)}"]
        )
        return f"({', '.join(given)})" if given else ""

    def _row(self, found: Mapping[str, Any], score: str) -> Row:
        more = found["_additional"]
        vector = (more.get("vectors") or {}).get(self.columns.vector) or more.get("vector")
        values = {name: value for name, value in found.items() if name != "_additional"}
        for name, value in values.items():
            if self.columns.kinds.get(name) == "datetime" and isinstance(value, str):
                values[name] = datetime.fromisoformat(value)
        if "id" in self.columns.kinds:
            values["id"] = more["id"]
        return Row(values, float(more.get(score) or 0), to_vector(vector))

    @staticmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about."""
        import httpx2

        if isinstance(error, httpx2.TimeoutException):
            return "timeout"
        if isinstance(error, httpx2.TransportError):
            return "connection"
        return "request" if isinstance(error, WeaviateError) else None
