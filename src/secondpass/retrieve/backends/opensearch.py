"""OpenSearch 2 and 3: `multi_match`, and kNN where a `knn_vector` is mapped.

A URL names an index, `opensearch://user@host:9200/index?https=true`. It is tested with a
server that follows the published reference, not with OpenSearch itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from secondpass.retrieve.backends.collection_store import Problem, is_encrypted, load_client
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.search_engine import (
    PARAMETERS,
    SearchEngineStore,
    open_index,
)
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import TextEncoder

__all__ = ["PARAMETERS", "open"]
_SPACES = {"cosinesimil": "cosine", "innerproduct": "product"}


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open an index; see `Adapter`. The password of the user is `OPENSEARCH_PASSWORD`'s."""
    library = load_client(
        "opensearchpy", package="opensearch-py", extra="opensearch", feature="OpenSearch"
    )
    settings: dict[str, Any] = {}
    if url.user is not None:
        password = url.secret or os.environ.get("OPENSEARCH_PASSWORD", "")
        settings["http_auth"] = (url.user, password)
    if "ca_certs" in url.options:
        settings["ca_certs"] = url.options["ca_certs"]
    client = library.OpenSearch(
        hosts=[{"host": url.host or "localhost", "port": url.port or 9200}],
        use_ssl=is_encrypted(url),
        timeout=url.timeout,
        max_retries=0,
        pool_maxsize=8,
        **settings,
    )
    with close_on_error(client.close):
        return open_index(url, embedder, OpenSearchStore, client)


class OpenSearchStore(SearchEngineStore):
    """An index of OpenSearch."""

    def knn(self, field: str, vector: list[float], k: int, condition: Any) -> dict[str, Any]:
        """Return the query `knn`, with the filter of the engines lucene and faiss."""
        knn = {"vector": vector, "k": k}
        return {
            "query": {
                "knn": {field: knn if condition is None else {**knn, "filter": condition}}
            }
        }

    def similarity(self, mapping: Mapping[str, Any]) -> str:
        """Return the similarity of a vector field, "l2" where it names none."""
        space = mapping.get("space_type") or mapping.get("method", {}).get("space_type")
        return _SPACES.get(space, "l2")

    def strict(self, name: str) -> dict[str, Any]:
        """Return the argument that makes a search of some shards alone an error."""
        return {"params": {name: "false"}}

    @staticmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about."""
        from opensearchpy import exceptions

        if isinstance(error, exceptions.ConnectionTimeout):
            return "timeout"
        if isinstance(error, exceptions.ConnectionError):
            return "connection"
        known = exceptions.OpenSearchException | exceptions.ImproperlyConfigured
        return "request" if isinstance(error, known) else None
