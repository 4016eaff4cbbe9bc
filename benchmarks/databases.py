"""One collection in each database: nDCG@10 before and after the second pass, milliseconds.

    python benchmarks/databases.py                                # the sample of the repository
    python benchmarks/databases.py scifact nfcorpus --queries 100 --minutes 12 --write
    python benchmarks/databases.py scifact --engines sqlite postgresql --modes bm25
    python benchmarks/databases.py scifact nfcorpus --queries 300 --modes bm25 --first-only

Each engine gets the same documents and the same vectors, and is searched through
`open_retriever` by its URL, by words alone and by both halves. "first" is what the database
found, "second" what is left after the bundled reranker and its blend read the first 50 of it,
with title and text as the collection has them. "p50" is the first stage, query after query,
with the embedding of the query in "hybrid".

The documents are encoded once for all engines, into an index of secondpass: their vectors, and
the token states that the reranker reads. These, pair scores and rows of the table are kept in
.cache/databases, so that a run that ends, by --minutes too, is continued by the same command.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from beir import Collection, load, missing
from harness.evaluator import RankingEvaluator

from secondpass import Document, Index
from secondpass.policies import Blend, Cached
from secondpass.retrieve.backends.database_url import file_url
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.store_protocol import TextEncoder, searchable
from secondpass.storage import replace_file

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "databases"
PAGE = ROOT / "docs" / "how-to" / "search-sql-databases.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
MEMORY = Path("/dev/shm")
CANDIDATES = 50
AT_ONCE = 128
MODES = ("bm25", "hybrid")
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


@dataclass
class Row:
    """A row of the table; `second` is None where the second pass was left out."""

    collection: str
    engine: str
    mode: str
    queries: int
    version: str
    first: float
    second: float | None
    milliseconds: float

    @property
    def gain(self) -> float:
        """What the second pass adds."""
        return 0.0 if self.second is None else self.second - self.first


class Results:
    """The rows of earlier runs and of this one, in a file."""

    def __init__(self, *, fresh: bool) -> None:
        self.file = CACHE / "results.json"
        self.rows: list[Row] = []
        if self.file.is_file() and not fresh:
            self.rows = [Row(**row) for row in json.loads(self.file.read_text("utf-8"))]

    def find(
        self, collection: str, engine: str, mode: str, queries: int, *, second: bool
    ) -> Row | None:
        """Return a row that was measured, with the second pass if that is asked for."""
        key = (collection, engine, mode, queries)
        for row in self.rows:
            same = (row.collection, row.engine, row.mode, row.queries) == key
            if same and (row.second is not None or not second):
                return row
        return None

    def add(self, row: Row) -> None:
        """Add a row in the place of an earlier one, and write the file."""
        key = (row.collection, row.engine, row.mode, row.queries)
        kept = [r for r in self.rows if (r.collection, r.engine, r.mode, r.queries) != key]
        self.rows = [*kept, row]
        replace_file(self.file, json.dumps([asdict(r) for r in self.rows], indent=1))


class Meter:
    """Lines on standard error: what is done, and about how long the rest takes."""

    def __init__(self, minutes: float | None) -> None:
        self.began = self.printed = time.monotonic()
        self.limit = None if minutes is None else self.began + 60 * minutes

    @property
    def over(self) -> bool:
        """Whether the time of --minutes is over."""
        return self.limit is not None and time.monotonic() > self.limit

    def show(self, what: str, done: int, total: int, began: float) -> None:
        """Print a line every five seconds, and at the end of a stage."""
        now = time.monotonic()
        if now - self.printed < 5 and done < total:
            return
        self.printed = now
        rest = (now - began) / max(done, 1) * (total - done)
        left = f", about {rest:.0f} s left" if done < total else ""
        print(
            f"{now - self.began:5.0f} s  {what}: {done} of {total}{left}",
            file=sys.stderr,
            flush=True,
        )


class OutOfTimeError(Exception):
    """The time of --minutes is over."""


def encode(collection: Collection, meter: Meter) -> tuple[Index, Vectors]:
    """Return an index with the documents' vectors and states, and the vectors in order."""
    index = Index.open(CACHE / collection.name)
    began, documents = time.monotonic(), collection.documents
    stored = index.count() // AT_ONCE * AT_ONCE
    for start in range(stored, len(documents), AT_ONCE):
        if meter.over:
            index.close()
            raise OutOfTimeError
        index.add(documents[start : start + AT_ONCE])
        done, total = min(start + AT_ONCE, len(documents)) - stored, len(documents) - stored
        meter.show(f"{collection.name}, documents encoded", done, total, began)
    vectors = index.retriever.embeddings(documents)
    empty = np.zeros(index.dimension, np.float32)
    return index, np.stack([vectors.get(document.key, empty) for document in documents])


def measure(
    url: str,
    collection: Collection,
    embedder: TextEncoder,
    reranker: Blend | None,
    modes: Sequence[str],
    meter: Meter,
) -> Iterator[Row]:
    """Yield the rows of one engine: for each mode, both passes, or the first alone."""
    evaluator = RankingEvaluator(collection.qrels)
    own = {str(document.id): document for document in collection.documents}
    engine = url.partition(":")[0]
    with closing(open_retriever(url, embedder=embedder)) as retriever:
        info = retriever.describe()
        if info.note is not None:
            print(info.note, file=sys.stderr)
        for mode in [m for m in modes if m in info.modes]:
            first, second, times = {}, {}, []
            started = time.monotonic()
            for number, (query_id, query) in enumerate(collection.queries.items(), 1):
                if meter.over:
                    raise OutOfTimeError
                began = time.perf_counter()
                found = retriever.search(query, mode=mode, candidates=CANDIDATES).candidates
                times.append((time.perf_counter() - began) * 1000)
                first[query_id] = [c.document.id for c in found]
                # As the collection has them: some engines have title and text as one.
                found = [replace(c, document=own[str(c.document.id)]) for c in found]
                response = reranker.rerank(query, found) if found and reranker else None
                results = () if response is None else response.results
                second[query_id] = [r.id for r in results]
                what = f"{collection.name}, {engine}, {mode}"
                meter.show(what, number, len(collection.queries), started)
            yield Row(
                collection.name,
                engine,
                mode,
                len(collection.queries),
                str(info.engine),
                float(evaluator.ndcg(first).mean()),
                None if reranker is None else float(evaluator.ndcg(second).mean()),
                statistics.median(times),
            )


def run(arguments: argparse.Namespace, results: Results) -> list[Row]:
    """Measure what is missing and return the rows that the arguments name."""
    meter, second = Meter(arguments.minutes), not arguments.first_only
    wanted: list[tuple[str, str, str, int]] = []
    for name in arguments.collections:
        collection = load(name, arguments.queries)
        count = len(collection.queries)
        keys = [(name, e, mode, count) for e in arguments.engines for mode in arguments.modes]
        wanted += keys
        missing_rows = [key for key in keys if results.find(*key, second=second) is None]
        if not missing_rows or meter.over:
            continue
        try:
            index, vectors = encode(collection, meter)
            with index:
                reranker = None
                if second:
                    reranker = Blend(Cached(index.reranker(), file=CACHE / "scores.db"))
                for engine in dict.fromkeys(key[1] for key in missing_rows):
                    modes = [key[2] for key in missing_rows if key[1] == engine]
                    memory = str(MEMORY) if MEMORY.is_dir() else None
                    with (
                        TemporaryDirectory(dir=memory) as folder,
                        ENGINES[engine](Path(folder), collection.documents, vectors) as url,
                    ):
                        for row in measure(
                            url, collection, index.embedder, reranker, modes, meter
                        ):
                            results.add(row)
        except OutOfTimeError:
            continue
    rows = [results.find(*key, second=second) for key in wanted]
    if absent := sum(row is None for row in rows):
        print(
            f"{absent} of {len(rows)} rows are missing; the same command goes on with them",
            file=sys.stderr,
        )
    return [row for row in rows if row is not None]


def render(rows: Sequence[Row], modes: Sequence[str]) -> str:
    """Return a table for each collection, and what PostgreSQL's ranking leaves to do."""
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"{CANDIDATES} candidates, {os.cpu_count()} cores, load at the end {load_average}."
    ]
    names = {"bm25": "words", "hybrid": "hybrid"}
    for collection in dict.fromkeys(row.collection for row in rows):
        of = [row for row in rows if row.collection == collection]
        heads = [f"{names[m]}: first | second | gain | ms" for m in modes]
        lines += ["", f"{collection}, {of[0].queries} questions:", ""]
        lines += [f"| engine | {' | '.join(heads)} |", f"|---{'|---' * 4 * len(modes)}|"]
        for engine in dict.fromkeys(row.engine for row in of):
            by_mode = {row.mode: row for row in of if row.engine == engine}
            cells = [_cells(by_mode.get(mode)) for mode in modes]
            version = next(iter(by_mode.values())).version.replace("milvus_lite-", "Lite ")
            lines.append(f"| {version} | {' | '.join(cells)} |")
    gains = {
        kind: [
            row.gain
            for row in rows
            if row.mode == "bm25"
            and row.second is not None
            and (row.engine == "postgresql") is (kind == "postgresql")
        ]
        for kind in ("postgresql", "others")
    }
    if all(gains.values()):
        own, others = (_range(values) for values in gains.values())
        lines += [
            "",
            f"By words, the second pass adds {own} to PostgreSQL, {others} elsewhere.",
        ]
    return "\n".join(lines)


def _cells(row: Row | None) -> str:
    if row is None:
        return "- | - | - | -"
    after = "- | -" if row.second is None else f"{row.second:.3f} | {row.gain:+.3f}"
    return f"{row.first:.3f} | {after} | {row.milliseconds:.1f}"


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):+.3f}", f"{max(values):+.3f}"
    return low if low == high else f"{low} to {high}"


def write(text: str) -> None:
    """Put the tables into the page, between its marks."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")
    print(f"written to {PAGE.relative_to(ROOT)}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("collections", nargs="*", default=["sample"])
    add("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    add("--queries", type=int, default=100)
    add("--modes", nargs="+", choices=MODES, default=list(MODES))
    add("--first-only", action="store_true", help="leave out the second pass")
    add("--minutes", type=float, help="stop after so long; the same command goes on")
    add("--write", action="store_true", help="write the tables into the docs")
    add("--fresh", action="store_true", help="measure again what was measured before")
    arguments = parser.parse_args()
    if absent := missing(arguments.collections):
        sys.exit(f"not there: {', '.join(absent)}; SECONDPASS_DATA names their folder")
    CACHE.mkdir(parents=True, exist_ok=True)
    text = render(run(arguments, Results(fresh=arguments.fresh)), arguments.modes)
    print(text)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
