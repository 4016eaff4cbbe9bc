"""Search on Ray: agreement with one server, and latency, by the number of shards.

    python benchmarks/scale/serve_on_ray.py [--collection scifact] [--shards 1 2 4]
        [--queries N] [--clients 4] [--index URL] [--json FILE]

The collection is indexed once, into `--index` (a temporary folder unless it is given, in the
layout of object storage). One server answers all queries over HTTP, 100 candidates each; then
a server on Ray with each number of shards does. The first 100 results must be the same ones
with the same scores (within .001: the size of a batch changes the last digits), else the exit
status is 1. Results with the same score may change places. Latencies are of one client; the
rate is that of `--clients` at once, of whose searches is counted how many were answered in full
(the others were refused, or partially reranked).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from secondpass import Index
from secondpass.evaluate import Collection
from secondpass.index.storage.objects import open_objects
from secondpass.index.storage.versions import PublishedVersions
from secondpass.retrieve.ingest import ingest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_process import Server, secondpass_command

DATA = Path(os.environ.get("SECONDPASS_DATA", Path(__file__).parents[3] / "shared" / "data"))
DEPTH = 100
WARM = 10
TOLERANCE = 1e-3


def make_index(place: str, corpus: Path) -> None:
    """Index a corpus, unless the place has an index."""
    if PublishedVersions(open_objects(place)).current() is not None:
        return
    print(f"indexing {corpus.name} …", flush=True)
    with Index.open(place) as index:
        ingest([corpus], index.store, index.ingest_embedder())


def search(http: httpx2.Client, query: str) -> tuple[float, dict[str, Any]]:
    """Return the seconds and the response of one search."""
    body = {"query": query, "candidates": DEPTH, "top_k": DEPTH, "return_documents": False}
    began = time.perf_counter()
    response = http.post("/api/v1/indexes/docs/search", json=body)
    seconds = time.perf_counter() - began
    if response.status_code == 429:
        return seconds, {"status": "refused"}
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return seconds, found


def measure(url: str, queries: Sequence[str], clients: int) -> dict[str, Any]:
    """Return latencies, the rate with several clients, and all results."""
    with httpx2.Client(base_url=url, timeout=120) as http:
        for query in queries[:WARM]:
            search(http, query)
        answers = [search(http, query) for query in queries]
        with ThreadPoolExecutor(clients) as threads:
            began = time.perf_counter()
            at_once = list(threads.map(lambda query: search(http, query), queries))
            rate = len(queries) / (time.perf_counter() - began)
    milliseconds = sorted(seconds * 1000 for seconds, _ in answers)
    return {
        "p50_ms": statistics.median(milliseconds),
        "p95_ms": milliseconds[int(0.95 * (len(milliseconds) - 1))],
        "queries_per_second": rate,
        "at_once": Counter(found["status"] for _, found in at_once),
        "statuses": sorted({found["status"] for _, found in answers}),
        "encoded_tokens": statistics.mean(f["usage"]["tokens"] for _, f in answers),
        "results": [[(r["id"], r["score"]) for r in found["results"]] for _, found in answers],
    }


def agree(one: Sequence[tuple[str, float]], other: Sequence[tuple[str, float]]) -> bool:
    """Return whether two rankings have the same documents with the same scores."""
    left, right = dict(one), dict(other)
    same = left.keys() == right.keys()
    return same and all(abs(left[name] - right[name]) <= TOLERANCE for name in left)


def main() -> int:
    """Measure, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--queries", type=int)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--index")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    folder = DATA / "eval" / chosen.collection
    collection = Collection.read(folder)
    queries = list(collection.first(chosen.queries).queries.values())
    with TemporaryDirectory() as work:
        place = chosen.index or f"file://{work}/index"
        make_index(place, next(folder.glob("corpus.jsonl*")))
        log, rows = Path(work) / "log", dict[str, dict[str, Any]]()
        print(f"{chosen.collection}: {len(queries)} queries, {DEPTH} results of each\n")
        print(
            "| | p50 ms | p95 ms | queries/s | in full | same results | same order | tokens |"
        )
        print("|---|---|---|---|---|---|---|---|", flush=True)
        expected: list[list[tuple[str, float]]] = []
        for shards in (0, *chosen.shards):
            options = ["--index", f"docs={place}"]
            options += ["--on", "ray", "--shards", str(shards)] if shards else []
            with Server(secondpass_command(*options), ready="/ready", log=log) as server:
                row = measure(server.url, queries, chosen.clients)
            found = row.pop("results")
            expected = expected or found
            pairs = list(zip(expected, found, strict=True))
            row["agree"] = sum(agree(a, b) for a, b in pairs)
            row["same_order"] = sum([i for i, _ in a] == [i for i, _ in b] for a, b in pairs)
            name = f"on Ray, shards: {shards}" if shards else "one server"
            rows[name] = row
            print(
                f"| {name} | {row['p50_ms']:.0f} | {row['p95_ms']:.0f} "
                f"| {row['queries_per_second']:.1f} | {row['at_once']['reranked']} "
                f"| {row['agree']} of {len(queries)} "
                f"| {row['same_order']} | {row['encoded_tokens']:.0f} |",
                flush=True,
            )
    failed = any(row["agree"] < len(queries) for row in rows.values())
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
