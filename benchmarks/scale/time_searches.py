"""Time searches in an index that was built: a fresh process, and a warm one."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from beir import load

from scale.build_index import (
    add_states,
    index_place,
    local_copy,
    open_states,
    peak_bytes,
    real_records,
)
from scale.encoded_passages import CACHE, EncodedPassages
from secondpass import Embedder, Index
from secondpass.inference.model_folder import open_folder
from secondpass.models import bundled_path
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.retrieve.store_protocol import Passage

CANDIDATES = (20, 50, 100)
MODES = ("bm25", "vector", "hybrid", "hybrid+rerank")
FRESH = """
import sys
from secondpass import Index
path, copy, mode, query = sys.argv[1:]
with Index.open(path, create=False, local_folder=copy or None) as index:
    index.search(query, mode=mode.split("+")[0], rerank=mode.endswith("rerank"), candidates=50)
"""


@dataclass
class Searched:
    """Milliseconds of searches in one index.

    - `warm`: by "mode candidates", of `queries` searches: the median and the 95th percentile,
      and the mean time of the processor, of all threads together.
    - `fresh`: by mode, of a process that opens the index and searches once for 50 candidates:
      the median, and the median time of the processor.
    """

    kind: str
    place: str
    passages: int
    queries: int
    warm: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    fresh: dict[str, tuple[float, float]] = field(default_factory=dict)
    peak_bytes: int = 0


def questions(count: int) -> list[str]:
    """Return the first judged questions of the sample, which is in the repository."""
    return list(load("sample", count).queries.values())


def search(
    place: str, passages: int, encoded: EncodedPassages, queries: int, rounds: int
) -> Searched:
    """Time searches; states that candidates lack are made up first, untimed."""
    location, _ = index_place(place, passages)
    copy = None if place == "local" else local_copy(passages)
    embedder = Embedder()
    # Without a cache in memory, each search reads the states of its candidates from the file.
    reranker = PrecomputedReranker(open_folder(bundled_path("bundled")), cache_bytes=0)
    asked = questions(queries)
    result = Searched("search", place, passages, queries)
    with Index.open(
        location, create=False, embedder=embedder, reranker=reranker, local_folder=copy
    ) as index:
        found = {
            r.id: Passage(str(r.id), r.document.text, r.document.title)
            for query in asked
            for r in index.search(
                query, mode="hybrid", candidates=max(CANDIDATES), rerank=False, top_k=None
            ).results
            if r.document is not None
        }
        states = open_states(index.store, reranker)
        add_states(list(found.values()), reranker, states, encoded, real_records(encoded, 500))
        states.close()
        for mode, candidates in product(MODES, CANDIDATES):
            first, _, second = mode.partition("+")
            times, worked = [], 0.0
            for number, query in enumerate([*asked[:3], *asked]):
                if number == 3:
                    worked = process_time()
                began = perf_counter()
                index.search(
                    query, mode=first, candidates=candidates, rerank=bool(second), top_k=10
                )
                times.append((perf_counter() - began) * 1000)
            # The first three open files and start threads.
            median, high = np.percentile(times[3:], [50, 95])
            each = (process_time() - worked) * 1000 / len(asked)
            result.warm[f"{mode} {candidates}"] = (float(median), float(high), each)
    result.peak_bytes = peak_bytes()
    for mode in MODES:
        command = [sys.executable, "-c", FRESH, location, str(copy or ""), mode, asked[0]]
        took = []
        for _ in range(rounds):
            began, worked = perf_counter(), children_seconds()
            subprocess.run(command, check=True, cwd=CACHE)
            took.append((perf_counter() - began, children_seconds() - worked))
        elapsed, of_processor = np.median(took, axis=0) * 1000
        result.fresh[mode] = (float(elapsed), float(of_processor))
    return result


def children_seconds() -> float:
    """Return the time of the processor that processes which have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
