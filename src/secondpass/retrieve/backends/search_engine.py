"""What Elasticsearch and OpenSearch share: mappings, `multi_match`, filters, scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from secondpass.errors import RetrieverError
from secondpass.retrieve.backends.collection_store import (
    CollectionStore,
    Row,
    call_client,
    flatten,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_json import search_query
from secondpass.retrieve.backends.table_columns import choose_columns, choose_table
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, to_vector
from secondpass.retrieve.filter_tree import Filter
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("https", "ca_certs")
MAX_WINDOW = 10_000
"""The most hits of one search (`index.max_result_window`)."""
_KINDS = {
    **dict.fromkeys(("text", "match_only_text", "keyword", "constant_keyword"), "text"),
    **dict.fromkeys(("wildcard", "search_as_you_type"), "text"),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "integer"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "number"),
    **{"boolean": "boolean", "date": "datetime", "date_nanos": "datetime"},
    **{"dense_vector": "vector", "knn_vector": "vector"},
}
_WHOLE = frozenset(("keyword", "constant_keyword", "wildcard"))
Mappings = Mapping[str, Mapping[str, Any]]


def open_index(
    url: DatabaseURL,
    embedder: TextEncoder | None,
    make: type[SearchEngineStore],
    client: Any,
) -> HybridRetriever:
    """Open an index, whose fields its mapping tells."""
    run = partial(call_client, url=url, classify=make.classify)
    name = url.table or url.path or choose_table(url, _names(run(client.indices.get_alias)))
    try:
        found = run(lambda: client.indices.get_mapping(index=name))
    except RetrieverError as error:
        if getattr(error.__cause__, "status_code", None) == 404:
            choose_table(replace(url, table=name), _names(run(client.indices.get_alias)))
        raise
    mappings: dict[str, Mapping[str, Any]] = {}
    for index in found.values():
        mappings |= dict(_walk(index.get("mappings", {}).get("properties", {})))
    kinds = {field: _KINDS.get(m["type"], "json") for field, m in mappings.items()}
    columns = choose_columns(url, {"_id": "text", **kinds}, table=name, key="_id")
    version = run(client.info)["version"]["number"]
    engine = f"{'OpenSearch' if url.scheme == 'opensearch' else 'Elasticsearch'} {version}"
    ranking = "BM25 of Lucene (multi_match)"
    store = make(url, columns, StoreInfo(url.redacted, engine, ranking))
    store.client, store.index, store.mappings = client, name, mappings
    mapping = mappings.get(columns.vector or "", {})
    size = mapping.get("dims", mapping.get("dimension"))
    return store.fit(embedder, size)


def _names(aliases: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in aliases if not name.startswith("."))


def _walk(
    properties: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, mapping in properties.items():
        if "properties" in mapping and mapping.get("type", "object") == "object":
            yield from _walk(mapping["properties"], f"{prefix}{name}.")
        elif "type" in mapping:
            yield f"{prefix}{name}", mapping


class SearchEngineStore(CollectionStore):
    """An index of Elasticsearch or OpenSearch; safe to use from several threads."""

    index: str
    mappings: Mappings

    @property
    def fields(self) -> dict[str, str]:
        """The fields that a filter can name: those that hold their whole value somewhere."""
        targets = self._targets()
        return {name: kind for name, kind in self.columns.filtered.items() if name in targets}

    @abstractmethod
    def knn(self, field: str, vector: list[float], k: int, condition: Any) -> dict[str, Any]:
        """Return the part of a request that searches by a vector; `condition` or None."""

    @abstractmethod
    def similarity(self, mapping: Mapping[str, Any]) -> str:
        """Return the similarity of a vector field: "cosine", "l2" or "product"."""

    def count_passages(self) -> int:
        """Return the number of documents."""
        return int(self.call(lambda: self.client.count(index=self.index))["count"])

    def translate(self, tree: Filter) -> dict[str, Any] | bool:
        """Return a filter as a query."""
        return search_query(tree, self._targets())

    def search_words(self, query: str, limit: int, condition: Any, vectors: bool) -> list[Row]:
        """Search the text and the title by `multi_match`."""
        fields = [f for f in (self.columns.title, self.columns.text) if f is not None]
        match: dict[str, Any] = {"query": query, "fields": fields}
        if self.url.analyzer is not None:
            match["analyzer"] = self.url.analyzer
        wanted: dict[str, Any] = {"bool": {"must": [{"multi_match": match}]}}
        if condition is not None:
            wanted["bool"]["filter"] = [condition]
        return self._search({"query": wanted}, limit, vectors)

    def search_vectors(self, embedding: Embedding, limit: int, condition: Any) -> list[Row]:
        """Search by k nearest neighbors, the filter applied before k."""
        field, k = str(self.columns.vector), min(limit, MAX_WINDOW)
        similarity = self.similarity(self.mappings[field])
        rows = self._search(self.knn(field, embedding.tolist(), k, condition), k, False)
        return [replace(row, score=_cosine(row.score, similarity)) for row in rows]

    def sample(self) -> list[Row]:
        """Return some documents with their vectors."""
        return self._search({"query": {"match_all": {}}}, PROBED_ROWS, True)

    def _search(self, part: Mapping[str, Any], limit: int, vectors: bool) -> list[Row]:
        """Return the hits of a request."""
        field, size = self.columns.vector, min(limit, MAX_WINDOW)
        body: dict[str, Any] = {**part, "size": size, "track_total_hits": False}
        if field is not None and vectors and self.dense_fields:
            body["fields"] = [field]
        if field is not None and not (vectors and not self.dense_fields):
            body["_source"] = {"excludes": [field]}
        response = self.client.search(
            index=self.index, body=body, **self.strict("allow_partial_search_results")
        )
        if response["timed_out"]:
            raise RetrieverError(
                f"{self.url.scheme} did not finish in time",
                where=self.url.redacted,
                timeout=True,
            )
        return [self._row(hit) for hit in response["hits"]["hits"]]

    dense_fields = False
    """Whether vectors are read by `fields`, as some versions leave them out of `_source`."""

    def strict(self, name: str) -> dict[str, Any]:
        """Return the argument that makes a search of some shards alone an error."""
        return {name: False}

    def _row(self, hit: Mapping[str, Any]) -> Row:
        values = flatten(hit.get("_source") or {})
        field = self.columns.vector or ""
        vector = to_vector(values.pop(field, None) or (hit.get("fields") or {}).get(field))
        return Row({**values, "_id": hit["_id"]}, float(hit.get("_score") or 0.0), vector)

    def _targets(self) -> dict[str, str]:
        """Return for each field the one of the index that has its whole value."""
        targets = {"_id": "_id"}
        for name, mapping in self.mappings.items():
            kind = mapping["type"]
            whole = [n for n, m in mapping.get("fields", {}).items() if m["type"] in _WHOLE]
            if kind in _WHOLE or _KINDS.get(kind, "text") != "text":
                targets[name] = name
            elif whole:
                targets[name] = f"{name}.{whole[0]}"
        return targets


def _cosine(score: float, similarity: str) -> float:
    """Return the cosine of unit vectors from a score, by the formulas of the references."""
    if similarity == "cosine":
        return 2 * score - 1
    if similarity == "l2":
        return 1 - (1 / score - 1) / 2 if score > 0 else -1.0
    return score - 1 if score >= 1 else 1 - 1 / max(score, 1e-9)
