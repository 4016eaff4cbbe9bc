"""Qdrant: BM25 of a text index or of sparse vectors, else its text filter; dense vectors.

A URL names a server, `qdrant://host:6333?collection=docs`, or a folder of the client's local
mode, `qdrant:///folder?collection=docs`, which one process opens at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from secondpass.errors import InputError, RetrieverError, nearest
from secondpass.retrieve.backends.collection_store import (
    SAMPLED_ROWS,
    call_client,
    choose_sampled,
    flatten,
    is_encrypted,
    load_client,
    sample_kinds,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.qdrant_store import QdrantStore
from secondpass.retrieve.backends.table_columns import choose_table
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.word_scores import RANKING
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder

PARAMETERS = ("https", "sparse")
_UNNAMED = "(the unnamed vector)"
_KINDS = {
    **dict.fromkeys(("keyword", "uuid", "text"), "text"),
    **{"integer": "integer", "float": "number", "bool": "boolean", "datetime": "datetime"},
}


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a collection; see `Adapter`. The key of a server is `QDRANT_API_KEY`'s."""
    library = load_client(
        "qdrant_client", package="qdrant-client", extra="qdrant", feature="Qdrant"
    )
    run = partial(call_client, url=url, classify=QdrantStore.classify)
    client = run(lambda: _connect(library.QdrantClient, url))
    with close_on_error(client.close):
        return _open(client, url, embedder, run)


def _connect(client: Any, url: DatabaseURL) -> Any:
    if url.host is None:
        if not (url.file / "meta.json").is_file():
            raise InputError("there is no Qdrant folder", where=str(url.file))
        return client(path=str(url.file))
    return client(
        host=url.host,
        port=url.port or 6333,
        https=is_encrypted(url),
        api_key=url.secret or os.environ.get("QDRANT_API_KEY"),
        timeout=max(1, round(url.timeout)),
        check_compatibility=False,
    )


def _open(
    client: Any, url: DatabaseURL, embedder: TextEncoder | None, run: Callable[..., Any]
) -> HybridRetriever:
    from qdrant_client import models

    listed = run(lambda: [c.name for c in client.get_collections().collections])
    name = choose_table(url, listed)
    params = run(lambda: client.get_collection(name)).config.params
    vectors = params.vectors if isinstance(params.vectors, dict) else {"": params.vectors}
    dense = {n or _UNNAMED: v for n, v in vectors.items() if v is not None and _is_searched(v)}
    points, _ = run(lambda: client.scroll(name, limit=SAMPLED_ROWS, with_payload=True))
    kinds = sample_kinds((flatten(p.payload or {}) for p in points), times=True)
    for field, index in run(lambda: client.get_collection(name)).payload_schema.items():
        kinds[field] = _KINDS.get(str(index.data_type.value), kinds.get(field, "json"))
    kinds |= dict.fromkeys(dense, "vector")
    whole = "integer" if not points or isinstance(points[0].id, int) else "text"
    columns, key, note = choose_sampled(url, name, kinds, empty=not points, key_kind=whole)
    sparse = _sparse_vector(url, params.sparse_vectors or {})
    store = QdrantStore(url, columns, StoreInfo(url.redacted, _version(client), RANKING))
    store.client, store.collection, store.point_id, store.sparse = client, name, key, sparse
    ranking = f"BM25 of {sparse or 'the text index'}"
    if sparse is None:
        query = models.TextQuery(text="a")
        try:
            run(lambda: client.query_points(name, query=query, using=columns.text, limit=1))
            store.scored = True
        except RetrieverError as error:
            if not isinstance(error.__cause__, Exception) or (
                store.classify(error.__cause__) != "request"
            ):
                raise
            ranking = RANKING
    store.info = StoreInfo(url.redacted, store.info.engine, ranking)
    vector = dense.get(columns.vector or "")
    if vector is not None:
        store.using = "" if columns.vector == _UNNAMED else columns.vector
        store.distance = str(vector.distance.value)
    return store.fit(embedder, None if vector is None else vector.size, note)


def _is_searched(vector: Any) -> bool:
    """Return whether the distance of a vector field can be made a cosine."""
    return vector.multivector_config is None and vector.distance.value != "Manhattan"


def _sparse_vector(url: DatabaseURL, sparse: dict[str, Any]) -> str | None:
    """Return the sparse vector of the URL, or one that Qdrant gives an idf, as BM25's have."""
    named = url.options.get("sparse")
    if named is not None and named not in sparse:
        raise InputError(
            f"there is no sparse vector {named!r}",
            where=url.redacted,
            fix=nearest(named, sparse) or "The collection has none.",
        )
    if named is not None:
        return named
    return next(
        (n for n, p in sparse.items() if p.modifier and p.modifier.value == "idf"), None
    )


def _version(client: Any) -> str:
    from importlib.metadata import version

    try:
        return f"Qdrant {client.info().version}"
    except Exception:  # noqa: BLE001 - local mode has no server to ask
        return f"Qdrant, local mode of qdrant-client {version('qdrant-client')}"
