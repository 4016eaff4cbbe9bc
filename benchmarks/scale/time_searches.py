"""Time searches in an index that was built: a warm process, a fresh one, and a cold disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

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
from secondpass.retrieve.backends.lance.schema import DOC, VECTOR
from secondpass.retrieve.backends.lance.store import LanceStore
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
      the median, and the median time of the processor. `cold`: the same with no file of the
      index in the system's memory. `fetch`: the same in object storage, without a local copy.
    - `recall`: the share of the exact nearest ten among the 50 candidates of a search.
    - `peak_bytes`: of the process of the warm searches.
    """

    kind: str
    place: str
    passages: int
    queries: int
    warm: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    fresh: dict[str, tuple[float, float]] = field(default_factory=dict)
    cold: dict[str, tuple[float, float]] = field(default_factory=dict)
    fetch: dict[str, tuple[float, float]] = field(default_factory=dict)
    recall: float = 0.0
    peak_bytes: int = 0


def questions(count: int) -> list[str]:
    """Return the first judged questions of the sample, which is in the repository."""
    return list(load("sample", count).queries.values())


def search(
    place: str, passages: int, encoded: EncodedPassages, queries: int, rounds: int
) -> Searched:
    """Time searches; states that candidates lack are made up first, untimed."""
    location, folder = index_place(place, passages)
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
        result.recall = recall(index.store, embedder.encode(asked))
    fresh = [sys.executable, "-c", FRESH, location, str(copy or "")]
    for mode in MODES:
        result.fresh[mode] = median_run([*fresh, mode, asked[0]], rounds)
    # After all of those, which find the files in memory.
    for mode in MODES:
        drop = partial(evict, copy or folder)
        result.cold[mode] = median_run([*fresh, mode, asked[0]], rounds, drop)
    if copy is not None:
        other = copy.with_name(f"{copy.name}-fetched")
        command = [sys.executable, "-c", FRESH, location, str(other), "hybrid", asked[0]]
        remove = partial(shutil.rmtree, other, ignore_errors=True)
        result.fetch["hybrid"] = median_run(command, rounds, remove)
        remove()
    return result


def recall(store: LanceStore, queries: NDArray[np.float32]) -> float:
    """Return which share of the ten nearest passages of queries are among 50 candidates."""
    found = 0
    for vector in queries:
        scan = store._table.search(vector, vector_column_name=VECTOR).distance_type("cosine")
        scan = scan.bypass_vector_index().limit(10).select([DOC, "_distance"])
        exact = set(scan.to_arrow().column(DOC).to_pylist())
        found += len(exact & {hit.document.document_id for hit in store.vector(vector, 50)})
    return found / (10 * len(queries))


def median_run(
    command: list[str], rounds: int, prepare: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Return the medians of several runs in milliseconds: elapsed, and of the processor."""
    took = []
    for _ in range(rounds):
        prepare()
        began = perf_counter()
        process = subprocess.Popen(command, cwd=CACHE)
        _, status, used = os.wait4(process.pid, 0)
        elapsed = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        took.append((elapsed, used.ru_utime + used.ru_stime))
    elapsed, of_processor = np.median(took, axis=0) * 1000
    return float(elapsed), float(of_processor)


def evict(folder: Path) -> None:
    """Ask the system to keep no file of a folder in memory; Linux does so."""
    for file in folder.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)
