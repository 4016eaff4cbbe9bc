"""One collection in each database: nDCG@10 before and after the second pass, milliseconds.

    python benchmarks/databases.py                                # the sample of the repository
    python benchmarks/databases.py scifact nfcorpus --queries 100
    python benchmarks/databases.py scifact --engines sqlite postgresql
    python benchmarks/databases.py scifact nfcorpus --queries 300 --modes bm25 --first-only

Each engine gets the same documents and the same vectors, and is searched through
`open_retriever` by its URL, by words alone and by both halves. "first" is what the database
found, "second" what is left after the bundled reranker and its blend read the first 50 of it.
"p50" is the first stage, query after query, with the embedding of the query in "hybrid".
Vectors and pair scores are kept in .cache/databases.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from beir import Collection, load, missing
from harness.evaluator import RankingEvaluator

from secondpass import Document, Embedder
from secondpass.policies import Blend, Cached
from secondpass.registry import load_reranker
from secondpass.retrieve.backends.database_url import file_url
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.store_protocol import searchable

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "databases"
CANDIDATES = 50
Vectors = np.ndarray[Any, np.dtype[np.float32]]
Load = Callable[[Path, Sequence[Document], Vectors], AbstractContextManager[str]]


@contextmanager
def sqlite(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """FTS5 with the stemmer porter, vectors as blobs."""
    file = folder / "docs.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "CREATE TABLE docs (number INTEGER PRIMARY KEY, id TEXT, title TEXT, body TEXT, "
            "embedding BLOB)"
        )
        connection.executemany(
            "INSERT INTO docs (id, title, body, embedding) VALUES (?, ?, ?, ?)",
            [
                (d.id, d.title, d.text, vector.tobytes())
                for d, vector in zip(documents, vectors, strict=True)
            ],
        )
        connection.execute(
            "CREATE VIRTUAL TABLE docs_fts USING fts5(title, body, content='docs', "
            "content_rowid='number', tokenize='porter unicode61')"
        )
        connection.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")
    yield file_url("sqlite", file, table="docs", id="id", text="body")


@contextmanager
def duckdb(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """The extension fts with its defaults: the stemmer porter and 571 English stop words."""
    import duckdb as client

    from secondpass.retrieve.backends.duckdb_file import load_fts

    file = folder / "docs.duckdb"
    with client.connect(str(file)) as connection:
        load_fts(connection)
        connection.register("batch", arrow_table(documents, vectors))
        connection.execute(
            "CREATE TABLE docs AS SELECT id, title, body, "
            f"embedding::FLOAT[{vectors.shape[1]}] AS embedding FROM batch"
        )
        connection.execute("PRAGMA create_fts_index('docs', 'id', 'title', 'body')")
    yield file_url("duckdb", file, table="docs", id="id", text="body")


@contextmanager
def postgresql(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """A generated column of type tsvector ("english"), an HNSW index of pgvector."""
    sys.path.insert(0, str(ROOT))
    from tests.loopback.postgres import USER, postgres_server

    with postgres_server() as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute(
                "CREATE TABLE docs (id text PRIMARY KEY, title text, body text, "
                f"embedding vector({vectors.shape[1]}), words tsvector GENERATED ALWAYS AS "
                "(to_tsvector('english', coalesce(title, '') || ' ' || body)) STORED)"
            )
            with connection.cursor().copy(
                "COPY docs (id, title, body, embedding) FROM STDIN"
            ) as copy:
                for document, vector in zip(documents, vectors, strict=True):
                    text = document.text.replace("\0", " ")
                    copy.write_row((document.id, document.title, text, str(vector.tolist())))
            connection.execute("CREATE INDEX ON docs USING gin (words)")
            connection.execute("CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops)")
            connection.execute("ANALYZE docs")
        address = f"{USER}:{server.password}@127.0.0.1:{server.port}"
        yield f"postgresql://{address}/postgres?table=docs&text=body"


@contextmanager
def lance(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """LanceDB's index of words with its defaults; no index of vectors, so these are exact."""
    from lancedb.index import FTS

    from secondpass.retrieve.backends.lance.table import connect

    table = connect(folder).create_table("docs", arrow_table(documents, vectors))
    for column in ("title", "body"):
        table.create_index(column, config=FTS())
    yield file_url("lance", folder, table="docs", text="body")


@contextmanager
def qdrant(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """The local mode: sparse vectors of Qdrant's own BM25, with stemmer and stop words."""
    from qdrant_client import QdrantClient, models
    from qdrant_edge import Bm25

    bm25, folder = Bm25(), folder / "qdrant"
    with closing(QdrantClient(path=str(folder))) as client:
        client.create_collection(
            "docs",
            vectors_config={
                "dense": models.VectorParams(
                    size=vectors.shape[1], distance=models.Distance.COSINE
                )
            },
            sparse_vectors_config={
                "bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)
            },
        )
        points = []
        for number, (d, vector) in enumerate(zip(documents, vectors, strict=True)):
            found = bm25.embed_document(searchable(d.title, d.text))
            words = models.SparseVector(indices=found.indices, values=found.values)
            points.append(
                models.PointStruct(
                    id=number,
                    vector={"dense": vector.tolist(), "bm25": words},
                    payload={"key": d.id, "title": d.title, "body": d.text},
                )
            )
        client.upload_points("docs", points, batch_size=1000)
    yield file_url("qdrant", folder, collection="docs", id="key", text="body")


@contextmanager
def chroma(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """Its text filter, ranked here; titles are part of the text, as only that is searched."""
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(
        str(folder / "chroma"), settings=Settings(anonymized_telemetry=False)
    )
    collection = client.create_collection(
        "docs", embedding_function=None, metadata={"hnsw:space": "cosine"}
    )
    for start in range(0, len(documents), 1000):
        part = documents[start : start + 1000]
        collection.add(
            ids=[str(d.id) for d in part],
            documents=[searchable(d.title, d.text) for d in part],
            embeddings=vectors[start : start + 1000],
        )
    yield file_url("chroma", folder / "chroma", collection="docs")


@contextmanager
def milvus(folder: Path, documents: Sequence[Document], vectors: Vectors) -> Iterator[str]:
    """Milvus Lite: a BM25 function over title and text; its analyzer stems nothing."""
    from pymilvus import DataType, Function, FunctionType, MilvusClient

    file = folder / "milvus.db"
    with closing(MilvusClient(str(file))) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=200)
        schema.add_field("body", DataType.VARCHAR, max_length=65_535, enable_analyzer=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function("bm25", FunctionType.BM25, ["body"], ["words"]))
        indexes = client.prepare_index_params()
        indexes.add_index("embedding", index_type="FLAT", metric_type="COSINE")
        indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        client.create_collection("docs", schema=schema, index_params=indexes)
        entities = [
            {"id": d.id, "body": searchable(d.title, d.text), "embedding": v.tolist()}
            for d, v in zip(documents, vectors, strict=True)
        ]
        for start in range(0, len(entities), 500):
            client.insert("docs", entities[start : start + 500])
        yield file_url("milvus", file, collection="docs")


ENGINES: dict[str, Load] = {
    "sqlite": sqlite,
    "duckdb": duckdb,
    "postgresql": postgresql,
    "lance": lance,
    "qdrant": qdrant,
    "chroma": chroma,
    "milvus": milvus,
}


def arrow_table(documents: Sequence[Document], vectors: Vectors) -> Any:
    """Return documents with their vectors as an Arrow table."""
    import pyarrow as pa

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table(
        {
            "id": [d.id for d in documents],
            "title": pa.array([d.title for d in documents], pa.string()),
            "body": [d.text for d in documents],
            "embedding": column,
        }
    )


def embed(collection: Collection, embedder: Embedder) -> Vectors:
    """Return the vectors of a collection's documents, from the cache where they are there."""
    file = CACHE / f"{collection.name}-{embedder.digest[:12]}.npy"
    if file.is_file():
        return np.load(file)
    print(f"embedding {len(collection.documents)} documents …", file=sys.stderr)
    vectors = embedder.encode([searchable(d.title, d.text) for d in collection.documents])
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors)
    return vectors


def measure(
    url: str,
    collection: Collection,
    embedder: Embedder,
    reranker: Blend | None,
    modes: Sequence[str],
) -> list[str]:
    """Return the rows of a table: for each mode, both passes, or the first alone."""
    evaluator = RankingEvaluator(collection.qrels)
    rows = []
    with closing(open_retriever(url, embedder=embedder)) as retriever:
        info = retriever.describe()
        if info.note is not None:
            print(info.note, file=sys.stderr)
        for mode in [m for m in modes if m in info.modes]:
            first, second, times = {}, {}, []
            for number, (query_id, query) in enumerate(collection.queries.items()):
                began = time.perf_counter()
                found = retriever.search(query, mode=mode, candidates=CANDIDATES).candidates
                times.append((time.perf_counter() - began) * 1000)
                first[query_id] = [c.document.id for c in found]
                response = reranker.rerank(query, found) if found and reranker else None
                results = () if response is None else response.results
                second[query_id] = [r.id for r in results]
                if number % 25 == 24:
                    print(f"{url.partition(':')[0]} {mode} {number + 1}", file=sys.stderr)
            before = evaluator.ndcg(first).mean()
            after = None if reranker is None else evaluator.ndcg(second).mean()
            passes = "- | -" if after is None else f"{after:.3f} | {after - before:+.3f}"
            rows.append(
                f"| {collection.name} | {info.engine} | {mode} | {before:.3f} | {passes} | "
                f"{statistics.median(times):.1f} |"
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="*", default=["sample"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--modes", nargs="+", choices=("bm25", "hybrid"), default=None)
    parser.add_argument("--first-only", action="store_true", help="leave out the second pass")
    arguments = parser.parse_args()
    modes = arguments.modes or ("bm25", "hybrid")
    if absent := missing(arguments.collections):
        sys.exit(f"not there: {', '.join(absent)}; SECONDPASS_DATA names their folder")
    embedder = Embedder()
    CACHE.mkdir(parents=True, exist_ok=True)
    reranker = None
    if not arguments.first_only:
        reranker = Blend(Cached(load_reranker("bundled"), file=CACHE / "scores.db"))
    rows = []
    for name in arguments.collections:
        collection = load(name, arguments.queries)
        # Without vector search any vectors do; none of ours has eight dimensions.
        none = np.ones((len(collection.documents), 8), np.float32)
        vectors = embed(collection, embedder) if "hybrid" in modes else none
        for engine in arguments.engines:
            with (
                TemporaryDirectory() as folder,
                ENGINES[engine](Path(folder), collection.documents, vectors) as url,
            ):
                rows += measure(url, collection, embedder, reranker, modes)
                print(rows[-1], file=sys.stderr)
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{arguments.queries} queries a collection, {CANDIDATES} candidates, "
        f"{os.cpu_count()} cores, load {load_average}\n"
    )
    print("| collection | engine | mode | first | second | gain | p50 ms |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
