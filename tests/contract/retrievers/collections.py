"""Collections of vector databases that run in this process, filled with the same rows."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from secondpass.retrieve.backends.database_url import file_url
from secondpass.retrieve.store_protocol import searchable
from tests.contract.retrievers.databases import EMBEDDER, FIELDS, Database, Open, Row
from tests.loopback.search_engine import Flavor, SearchEngine

SAMPLED = {"fields": ",".join(FIELDS)}
"""Parameters for an empty collection, whose fields nothing tells."""


def payload(row: Row, *names: str) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in FIELDS if name in names}
    return {name: value for name, value in values.items() if value is not None}


class QdrantFolder:
    """The local mode of the client: with a text index, sparse vectors, or neither."""

    password = None
    examples = 25

    def __init__(self, folder: Path, words: str | None) -> None:
        lacks = {"like", "ilike", "text_order", "id_order", "changes", "drops"}
        self.lacks = frozenset(lacks if words == "index" else lacks | {"many"})
        self.folder, self.words = folder / "qdrant data", words
        self.kind, self.empty = "text", False

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        from qdrant_client import QdrantClient, models

        self.kind, self.empty = kind, not rows
        shutil.rmtree(self.folder, ignore_errors=True)
        size = models.VectorParams(size=EMBEDDER.dimension, distance=models.Distance.COSINE)
        sparse = models.SparseVectorParams(modifier=models.Modifier.IDF)
        with closing(QdrantClient(path=str(self.folder))) as client:
            client.create_collection(
                "docs",
                vectors_config={"dense": size} if self.words else size,
                sparse_vectors_config={"words": sparse} if self.words == "sparse" else None,
            )
            if self.words == "index":
                index = models.TextIndexParams(type="text", scoring=True)
                client.create_payload_index("docs", "body", index)
            points = [self._point(models, row) for row in rows]
            if points:
                client.upload_points("docs", points, batch_size=1000)

    def _point(self, models: Any, row: Row) -> Any:
        from qdrant_edge import Bm25

        vector: Any = row.vector.tolist()
        if self.words:
            vector = {"dense": vector}
        if self.words == "sparse":
            found = Bm25().embed_document(searchable(row.title, row.text or ""))
            vector["words"] = models.SparseVector(indices=found.indices, values=found.values)
        key = row.id if self.kind != "text" else str(uuid.uuid5(uuid.NAMESPACE_OID, row.id))
        values = payload(row, *FIELDS) | {"body": row.text, "title": row.title}
        if row.day is not None:
            values["day"] = row.day.isoformat()
        return models.PointStruct(
            id=key, vector=vector, payload=values | {"doc": row.parent, "key": row.id}
        )

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        raise NotImplementedError

    def url(self, **parameters: str) -> str:
        key = {"id": "key"} if self.kind == "text" else {}
        more = SAMPLED if self.empty else {}
        return file_url("qdrant", self.folder, collection="docs", **(key | more | parameters))

    def drop(self) -> None:
        raise NotImplementedError


def qdrant(words: str | None) -> Open:
    @contextmanager
    def opened(folder: Path) -> Iterator[Database]:
        pytest.importorskip("qdrant_client")
        # The client writes each point in a transaction of its own: minutes, where it is a disk.
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else folder) as made:
            yield QdrantFolder(Path(made), words)

    return opened


class ChromaFolder:
    """A folder of Chroma, which a second client of this process can write to."""

    lacks = frozenset({"like", "ilike", "text_order", "day", "drops"})
    password = None

    def __init__(self, folder: Path) -> None:
        self.folder, self.empty = folder / "chroma data", False
        self.client: Any = None

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        import chromadb
        from chromadb.config import Settings

        self.empty = not rows
        if self.client is None:
            settings = Settings(anonymized_telemetry=False)
            self.client = chromadb.PersistentClient(str(self.folder), settings=settings)
        if any(c.name == "docs" for c in self.client.list_collections()):
            self.client.delete_collection("docs")
        self.client.create_collection(
            "docs", embedding_function=None, metadata={"hnsw:space": "cosine"}
        )
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        collection = self.client.get_collection("docs", embedding_function=None)
        if gone := [str(key) for key in delete]:
            collection.delete(ids=gone)
        for start in range(0, len(rows), 1000):
            part = rows[start : start + 1000]
            collection.add(
                ids=[str(row.id) for row in part],
                documents=[row.text for row in part],
                embeddings=[row.vector.tolist() for row in part],
                metadatas=[self._metadata(row) for row in part],
            )

    def _metadata(self, row: Row) -> dict[str, Any]:
        names = {"title": row.title, "doc": row.parent}
        values = payload(row, "year", "price", "lang", "fresh")
        return {"n": 1, **values, **{n: v for n, v in names.items() if v is not None}}

    def url(self, **parameters: str) -> str:
        more = SAMPLED if self.empty else {}
        parameters = {n: v for n, v in parameters.items() if (n, v) != ("text", "body")}
        return file_url("chroma", self.folder, collection="docs", **more, **parameters)

    def drop(self) -> None:
        raise NotImplementedError


@contextmanager
def chroma(folder: Path) -> Iterator[Database]:
    pytest.importorskip("chromadb")
    yield ChromaFolder(folder)


class MilvusFile:
    """A file of Milvus Lite, which all clients of this process share."""

    lacks = frozenset({"ilike", "day", "drops"})
    password = None

    def __init__(self, folder: Path) -> None:
        self.file = folder / "milvus.db"
        self.client: Any = None

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        from pymilvus import DataType, Function, FunctionType, MilvusClient

        if self.client is None:
            self.client = MilvusClient(str(self.file))
        if "docs" in self.client.list_collections():
            self.client.drop_collection("docs")
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=True)
        if kind == "integer":
            schema.add_field("id", DataType.INT64, is_primary=True)
        else:
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
        text = {"max_length": 4000, "nullable": True}
        schema.add_field("body", DataType.VARCHAR, max_length=4000, enable_analyzer=True)
        for name in ("title", "lang", "doc"):
            schema.add_field(name, DataType.VARCHAR, **text)
        schema.add_field("year", DataType.INT64, nullable=True)
        schema.add_field("price", DataType.DOUBLE, nullable=True)
        schema.add_field("fresh", DataType.BOOL, nullable=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=EMBEDDER.dimension)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            Function(
                name="bm25",
                input_field_names=["body"],
                output_field_names=["words"],
                function_type=FunctionType.BM25,
            )
        )
        indexes = self.client.prepare_index_params()
        indexes.add_index("embedding", index_type="FLAT", metric_type="COSINE")
        indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        self.client.create_collection("docs", schema=schema, index_params=indexes)
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        if gone := list(delete):
            self.client.delete("docs", ids=gone)
        entities = [
            {
                "id": r.id,
                "body": r.text or "",
                "title": r.title,
                "lang": r.lang,
                "doc": r.parent,
            }
            | {"year": r.year, "price": r.price, "fresh": r.fresh}
            | {"embedding": r.vector.tolist()}
            for r in rows
        ]
        for start in range(0, len(entities), 1000):
            self.client.insert("docs", entities[start : start + 1000])

    def url(self, **parameters: str) -> str:
        return file_url("milvus", self.file, collection="docs", **parameters)

    def drop(self) -> None:
        raise NotImplementedError


@contextmanager
def milvus(folder: Path) -> Iterator[Database]:
    pytest.importorskip("milvus_lite")
    made = MilvusFile(folder)
    yield made
    if made.client is not None:
        made.client.close()


class SearchEngineIndex:
    """An index of a server that follows the reference of Elasticsearch or OpenSearch."""

    def __init__(self, engine: SearchEngine) -> None:
        self.engine = engine
        self.lacks, self.examples = frozenset({"id_order", "many"}), 25
        self.password = engine.password

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        vector: dict[str, Any] = {"type": "dense_vector", "dims": EMBEDDER.dimension}
        if self.engine.flavor == "opensearch":
            vector = {"type": "knn_vector", "dimension": EMBEDDER.dimension}
        whole = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
        self.engine.create(
            "docs",
            {
                **{"title": {"type": "text"}, "body": {"type": "text"}, "lang": whole},
                **{"year": {"type": "long"}, "price": {"type": "double"}},
                **{"fresh": {"type": "boolean"}, "day": {"type": "date"}},
                **{"doc": {"type": "keyword"}, "embedding": vector},
            },
        )
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        for key in delete:
            self.engine.delete("docs", str(key))
        for row in rows:
            source = {**payload(row, *FIELDS), "body": row.text, "title": row.title}
            source |= {"doc": row.parent, "embedding": row.vector.tolist()}
            if row.day is not None:
                source["day"] = row.day.isoformat()
            self.engine.put("docs", str(row.id), source)

    def url(self, **parameters: str) -> str:
        more = "&".join(f"{name}={value}" for name, value in parameters.items())
        user = f"admin:{self.password}@"
        return f"{self.engine.flavor}://{user}127.0.0.1:{self.engine.port}?table=docs&{more}"

    def drop(self) -> None:
        self.engine.drop()


def search_engine(flavor: Flavor) -> Open:
    @contextmanager
    def opened(folder: Path) -> Iterator[Database]:
        pytest.importorskip("opensearchpy" if flavor == "opensearch" else flavor)
        engine = SearchEngine(flavor, password="pass-w0rd")
        yield SearchEngineIndex(engine)
        engine.close()

    return opened


class WeaviateServer:
    """A collection of our own server, by its Weaviate API; ids are a property."""

    lacks = frozenset({"drops"})
    password = "s3cret"
    examples = 25

    def __init__(self, address: str) -> None:
        import httpx2

        self.http = httpx2.Client(base_url=f"{address}/v1", timeout=60)
        self.port, self.key = self.http.base_url.port, {"id": "key"}

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        self.key = {} if kind == "uuid" else {"id": "key"}
        self.http.delete("/schema/Docs")
        names = {"key": "int" if kind == "integer" else "text", "title": "text", "body": "text"}
        names |= {"lang": "text", "doc": "text", "year": "int", "price": "number"}
        names |= {"fresh": "boolean", "day": "date"}
        properties = [
            {"name": name, "dataType": [type_]}
            | ({"tokenization": "field"} if name in ("key", "lang", "doc") else {})
            for name, type_ in names.items()
        ]
        body = {"class": "Docs", "vectorizer": "none", "properties": properties}
        assert self.http.post("/schema", json=body).is_success
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        for key in delete:
            assert self.http.delete(f"/objects/Docs/{self._uuid(key)}").is_success
        for start in range(0, len(rows), 1000):
            objects = [self._object(row) for row in rows[start : start + 1000]]
            done = self.http.post("/batch/objects", json={"objects": objects})
            assert done.is_success, done.text
            assert all(one["result"]["status"] == "SUCCESS" for one in done.json())

    def _uuid(self, key: object) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(key))) if self.key else str(key)

    def _object(self, row: Row) -> dict[str, Any]:
        values = {**payload(row, *FIELDS), "body": row.text, "title": row.title}
        values |= {"doc": row.parent, "key": row.id if self.key else None}
        if row.day is not None:
            values["day"] = f"{row.day.isoformat()}T00:00:00Z"
        return {
            "class": "Docs",
            "id": self._uuid(row.id),
            "properties": {name: value for name, value in values.items() if value is not None},
            "vector": row.vector.tolist(),
        }

    def url(self, **parameters: str) -> str:
        given = {"collection": "Docs", **self.key, **parameters}
        query = "&".join(f"{name}={value}" for name, value in given.items())
        return f"weaviate://user:{self.password}@127.0.0.1:{self.port}?{query}"

    def drop(self) -> None:
        raise NotImplementedError


@contextmanager
def weaviate(folder: Path) -> Iterator[Database]:
    from secondpass.server.settings import ServerSettings
    from tests.server.conftest import serving

    with serving(ServerSettings(models=["bundled-tiny"], data=folder)) as address:
        made = WeaviateServer(address)
        yield made
        made.http.close()


COLLECTIONS: dict[str, Open] = {
    "chroma": chroma,
    "elasticsearch": search_engine("elasticsearch"),
    "milvus": milvus,
    "opensearch": search_engine("opensearch"),
    "qdrant-filter": qdrant(None),
    "qdrant-index": qdrant("index"),
    "qdrant-sparse": qdrant("sparse"),
    "weaviate": weaviate,
}
"""By scheme and what keyword search uses there."""
