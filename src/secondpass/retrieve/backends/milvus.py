"""Milvus: keyword search by its BM25 function, dense vectors.

A URL names a server, `milvus://host:19530/db?collection=docs`, or a file of Milvus Lite,
`milvus:///file.db?collection=docs`, which one process opens at a time.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError
from secondpass.retrieve.backends.collection_store import (
    SAMPLED_ROWS,
    CollectionStore,
    Problem,
    Row,
    call_client,
    is_encrypted,
    load_client,
    sample_kinds,
)
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_json import milvus_expression
from secondpass.retrieve.backends.table_columns import choose_columns, choose_table
from secondpass.retrieve.backends.table_store import close_on_error
from secondpass.retrieve.backends.vector_fit import PROBED_ROWS, to_vector
from secondpass.retrieve.filter_tree import Filter
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import StoreInfo, TextEncoder

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PARAMETERS = ("https", "sparse")
_KINDS = {
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64"), "integer"),
    **{"FLOAT": "number", "DOUBLE": "number", "BOOL": "boolean", "VARCHAR": "text"},
    **{"STRING": "text", "FLOAT_VECTOR": "vector", "SPARSE_FLOAT_VECTOR": "words"},
}
_MAX_LIMIT = 16_384
_NO_WORDS = (
    "the collection has no field that a BM25 function fills, and a collection gets one when it "
    "is made: Function(function_type=FunctionType.BM25)"
)


def open(url: DatabaseURL, embedder: TextEncoder | None) -> HybridRetriever:  # noqa: A001
    """Open a collection; see `Adapter`. The token of a server is `MILVUS_TOKEN`'s."""
    pymilvus = load_client("pymilvus", package="pymilvus", extra="milvus", feature="Milvus")
    run = partial(call_client, url=url, classify=MilvusStore.classify)
    client = run(lambda: _connect(pymilvus, url))
    with close_on_error(client.close):
        name = choose_table(url, run(client.list_collections))
        schema = run(lambda: client.describe_collection(name))
        run(lambda: client.load_collection(name))
        fields = {field["name"]: field for field in schema["fields"]}
        kinds = {n: _KINDS.get(field["type"].name, "json") for n, field in fields.items()}
        key = next(n for n, field in fields.items() if field.get("is_primary"))
        if schema.get("enable_dynamic_field"):
            rows = run(
                lambda: client.query(name, filter="", limit=SAMPLED_ROWS, output_fields=["*"])
            )
            dynamic = ({n: v for n, v in row.items() if n not in fields} for row in rows)
            kinds |= sample_kinds(dynamic)
        words = _find_words(url, schema)
        roles = url if words is None else replace(url, text=url.text or words[0])
        columns = choose_columns(roles, kinds, table=name, key=key)
        engine = f"Milvus {run(client.get_server_version)}"
        ranking = None if words is None else "BM25 of Milvus"
        store = MilvusStore(url, columns, StoreInfo(url.redacted, engine, ranking))
        store.client, store.collection, store.schema = client, name, tuple(fields)
        store.sparse = None if words is None else words[1]
        store.dynamic = bool(schema.get("enable_dynamic_field"))
        dimension = None
        if columns.vector is not None:
            dimension = int(fields[columns.vector]["params"]["dim"])
            indexes = run(lambda: client.list_indexes(name, field_name=columns.vector))
            if indexes:
                index = run(lambda: client.describe_index(name, indexes[0]))
                store.metric = str(index.get("metric_type", "COSINE"))
        return store.fit(embedder, dimension, None if words else _NO_WORDS)


def _connect(pymilvus: Any, url: DatabaseURL) -> Any:
    if url.host is None:
        # The client would make a new, empty database.
        if not url.file.exists():
            raise InputError("there is no Milvus Lite file", where=str(url.file))
        load_client("milvus_lite", package="milvus-lite", extra="milvus", feature="Milvus Lite")
        return pymilvus.MilvusClient(str(url.file))
    word = "https" if is_encrypted(url) else "http"
    token = url.secret or os.environ.get("MILVUS_TOKEN", "")
    return pymilvus.MilvusClient(
        f"{word}://{url.host}:{url.port or 19530}",
        token=f"{url.user}:{token}" if url.user and token else token,
        db_name=url.path,
        timeout=url.connect_timeout,
    )


def _find_words(url: DatabaseURL, schema: Any) -> tuple[str, str] | None:
    """Return the text field and the sparse one of a BM25 function, or None."""
    found = [
        (function["input_field_names"][0], function["output_field_names"][0])
        for function in schema.get("functions") or ()
        if function["type"].name == "BM25"
    ]
    named = url.options.get("sparse")
    if named is not None and named not in [f["name"] for f in schema["fields"]]:
        raise InputError(f"there is no field {named!r}", where=url.redacted)
    wanted = [pair for pair in found if pair[1] == named or pair[0] == url.text]
    return next(iter(wanted if named or url.text else found), None)


class MilvusStore(CollectionStore):
    """A collection of Milvus; safe to use from several threads."""

    collection: str
    schema: tuple[str, ...]
    dynamic = False
    sparse: str | None = None
    metric = "COSINE"

    def count_passages(self) -> int:
        """Return the number of entities."""
        found = self.call(
            lambda: self.client.query(self.collection, output_fields=["count(*)"])
        )
        return int(found[0]["count(*)"])

    def translate(self, tree: Filter) -> str | bool:
        """Return a filter as an expression."""
        return milvus_expression(tree, self.schema)

    def search_words(self, query: str, limit: int, condition: Any, vectors: bool) -> list[Row]:
        """Search by the field of the BM25 function."""
        # Milvus Lite returns what it sorts by, the negative of the score.
        rows = self._search(query, self.sparse, limit, condition, vectors)
        return [replace(row, score=abs(row.score)) for row in rows]

    def search_vectors(self, embedding: Embedding, limit: int, condition: Any) -> list[Row]:
        """Search by the dense vector."""
        rows = self._search(embedding.tolist(), self.columns.vector, limit, condition, False)
        # The distance of "L2" is squared.
        if self.metric != "L2":
            return rows
        return [replace(row, score=1 - row.score / 2) for row in rows]

    def sample(self) -> list[Row]:
        """Return the first entities with their vectors."""
        rows = self.client.query(
            self.collection, filter="", limit=PROBED_ROWS, output_fields=["*"]
        )
        return [self._row(row, 0.0) for row in rows]

    def _search(
        self, data: Any, field: str | None, limit: int, condition: str | None, vectors: bool
    ) -> list[Row]:
        vector = self.columns.vector
        wanted = [*self.columns.read, *([vector] if vectors and vector is not None else [])]
        # The dynamic field, whose keys a hit then has.
        dynamic = ["$meta"] if self.dynamic else []
        found = self.client.search(
            self.collection,
            data=[data],
            anns_field=field,
            filter=condition or "",
            limit=min(limit, _MAX_LIMIT),
            output_fields=[*(n for n in wanted if n in self.schema), *dynamic],
            timeout=self.url.timeout,
        )
        return [self._row({**hit["entity"]}, hit["distance"]) for hit in found[0]]

    def _row(self, values: dict[str, Any], score: float) -> Row:
        vector = to_vector(values.pop(self.columns.vector or "", None))
        return Row({n: v for n, v in values.items() if n != self.sparse}, float(score), vector)

    @staticmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about."""
        from pymilvus.exceptions import MilvusException

        if not isinstance(error, MilvusException):
            return "connection" if isinstance(error, OSError) else None
        text = str(error).lower()
        if "deadline" in text or "timeout" in text:
            return "timeout"
        lost = ("unavailable", "fail connecting", "failed to connect", "connection")
        return "connection" if any(word in text for word in lost) else "request"
