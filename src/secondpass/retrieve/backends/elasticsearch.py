"""Elasticsearch 8 and 9: `multi_match`, and kNN where a `dense_vector` is mapped.

A URL names an index, `elasticsearch://host:9200/index?https=true`. It is tested with a server
that follows the published reference, not with Elasticsearch itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from secondpass.retrieve.backends.collection_store import Problem, is_encrypted, load_client
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.search_engine import (
    MAX_WINDOW,
    PARAMETERS,
    SearchEngineStore,
    open_index,
)
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import TextEncoder

__all__ = ["PARAMETERS", "open"]
_SIMILARITIES = {"l2_norm": "l2", "max_inner_product": "product"}


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open an index; see `Adapter`.

    The key is `ELASTICSEARCH_API_KEY`'s; with a user in the URL, the password is
    `ELASTICSEARCH_PASSWORD`'s.
    """
    library = load_client(
        "elasticsearch",
        package="elasticsearch",
        extra="elasticsearch",
        feature="Elasticsearch",
    )
    scheme = "https" if is_encrypted(url) else "http"
    settings: dict[str, Any] = {}
    if url.user is not None:
        password = url.secret or os.environ.get("ELASTICSEARCH_PASSWORD", "")
        settings["basic_auth"] = (url.user, password)
    elif key := url.secret or os.environ.get("ELASTICSEARCH_API_KEY"):
        settings["api_key"] = key
    if "ca_certs" in url.options:
        settings["ca_certs"] = url.options["ca_certs"]
    client = library.Elasticsearch(
        f"{scheme}://{_host(url.host)}:{url.port or 9200}",
        request_timeout=url.timeout,
        max_retries=0,
        **settings,
    )
    with close_on_error(client.close):
        return open_index(url, embedder, ElasticsearchStore, client)


class ElasticsearchStore(SearchEngineStore):
    """An index of Elasticsearch."""

    dense_fields = True

    def knn(self, field: str, vector: list[float], k: int, condition: Any) -> dict[str, Any]:
        """Return the section `knn` of a search."""
        candidates = min(MAX_WINDOW, max(100, 2 * k))
        knn = {"field": field, "query_vector": vector, "k": k, "num_candidates": candidates}
        return {"knn": knn if condition is None else {**knn, "filter": condition}}

    def similarity(self, mapping: Mapping[str, Any]) -> str:
        """Return the similarity of a vector field; by product it is a cosine too."""
        return _SIMILARITIES.get(mapping.get("similarity", "cosine"), "cosine")

    @staticmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about."""
        import elasticsearch

        if isinstance(error, elasticsearch.ConnectionTimeout):
            return "timeout"
        if isinstance(error, elasticsearch.ConnectionError):
            return "connection"
        known = elasticsearch.ApiError | elasticsearch.TransportError
        return "request" if isinstance(error, known) else None


def _host(host: str | None) -> str:
    return f"[{host}]" if host is not None and ":" in host else host or "localhost"
