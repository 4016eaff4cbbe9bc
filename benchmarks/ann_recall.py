"""Recall@10 and latency of the vector index against exact search, on real embeddings.

    python benchmarks/ann_recall.py

Embeds 60,000 texts of the collections under $SECONDPASS_DATA (default ../shared/data) with
the bundled embedder, once, into .cache/ann (about 20 minutes on two cores; it may be
interrupted and continued). Then it builds the index as `Index.optimize` does. Exit status 1 if
recall@10 is under 0.98.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from secondpass.retrieve.backends.lance import table
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.embedder import Embedder
from secondpass.retrieve.store_protocol import Passage

MIN_RECALL = 0.98
BATCH = 1024
COLLECTIONS = (
    *("squad-dev", "arguana", "scifact", "nfcorpus", "cranfield", "cisi", "wikiqa-rerank"),
    "trec-dl19-rerank",
)
QUERIES = ("scifact", "nfcorpus", "trec-dl19-rerank", "cranfield", "wikiqa-rerank")


def records(path: Path) -> Iterator[dict[str, str]]:
    file = path if path.exists() else path.with_name(path.name + ".gz")
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def texts(data: Path, n: int) -> list[str]:
    unique: dict[str, None] = {}
    for name in COLLECTIONS:
        for record in records(data / "eval" / name / "corpus.jsonl"):
            unique[f"{record.get('title', '')}\n{record['text']}".strip()] = None
    for name in ("medquad", "boolq_val_test", "docs_headings_weak", "foldoc_weak"):
        for record in records(data / "train" / f"{name}.jsonl"):
            unique[f"{record.get('title') or ''}\n{record['positive']}".strip()] = None
    return list(unique)[:n]


def queries(data: Path, n: int) -> list[str]:
    by_collection = [
        [r["text"] for r in records(data / "eval" / name / "queries.jsonl")] for name in QUERIES
    ]
    share = n // len(by_collection)
    return [
        text
        for queries_of in by_collection
        for text in queries_of[:: max(1, len(queries_of) // share)][:share]
    ]


def embed_cached(
    embedder: Embedder, kind: str, texts_to_embed: list[str], cache: Path
) -> np.ndarray:
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    key = f"{embedder.digest[:12]}-{embedder.max_length}"
    for start in track(range(0, len(texts_to_embed), BATCH), description=f"embedding {kind}"):
        part = cache / f"{kind}-{key}-{start}.npy"
        if not part.exists():
            vectors = embedder.encode(texts_to_embed[start : start + BATCH])
            temporary = part.with_suffix(".part.npy")
            np.save(temporary, vectors)
            temporary.replace(part)
        parts.append(np.load(part))
    return np.concatenate(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--cache", type=Path, default=Path(".cache/ann"))
    parser.add_argument("--embed-only", action="store_true")
    arguments = parser.parse_args()
    data = Path(os.environ.get("SECONDPASS_DATA", "../shared/data"))
    if not (data / "eval").is_dir():
        print(f"no collections under {data}; set SECONDPASS_DATA", file=sys.stderr)
        return 1

    embedder = Embedder()
    embedder.max_length = arguments.max_length
    corpus = texts(data, arguments.rows)
    vectors = embed_cached(embedder, "texts", corpus, arguments.cache)
    query_vectors = embed_cached(
        embedder, "queries", queries(data, arguments.queries), arguments.cache
    )
    if arguments.embed_only:
        return 0

    folder = arguments.cache / "index"
    shutil.rmtree(folder, ignore_errors=True)
    store = open_index(folder, embedder)
    start = time.perf_counter()
    for i in track(range(0, len(corpus), 5000), description="storing"):
        store.upsert(
            [
                Passage(f"d{j}", corpus[j], embedding=vectors[j])
                for j in range(i, min(i + 5000, len(corpus)))
            ]
        )
    stored = time.perf_counter() - start
    exact = np.argsort(-(query_vectors @ vectors.T), axis=1, kind="stable")[:, :10]
    scan = measure(store, query_vectors, exact)
    start = time.perf_counter()
    store.optimize()
    built = time.perf_counter() - start
    ann = measure(store, query_vectors, exact)
    print(f"{len(corpus)} passages, {len(query_vectors)} queries; stored in {stored:.1f} s")
    print(
        f"without index:  recall@10 {scan[0]:.4f}, p50 {scan[1]:.1f} ms, p95 {scan[2]:.1f} ms"
    )
    print(f"with index:     recall@10 {ann[0]:.4f}, p50 {ann[1]:.1f} ms, p95 {ann[2]:.1f} ms")
    print(f"index built in {built:.1f} s; probes {table.probes(len(corpus))}, ", end="")
    print(f"refine {table.REFINE}")
    return 0 if ann[0] >= MIN_RECALL else 1


def measure(store, query_vectors: np.ndarray, exact: np.ndarray) -> tuple[float, float, float]:
    for vector in query_vectors[:20]:
        store.vector(vector, 10)
    hits, times = 0, []
    for vector, expected in zip(query_vectors, exact, strict=True):
        start = time.perf_counter()
        hits_found = store.vector(vector, 10)
        times.append((time.perf_counter() - start) * 1000)
        hits += len({h.id for h in hits_found} & {f"d{i}" for i in expected})
    p50, p95 = np.percentile(times, [50, 95])
    return hits / (10 * len(query_vectors)), float(p50), float(p95)


if __name__ == "__main__":
    sys.exit(main())
