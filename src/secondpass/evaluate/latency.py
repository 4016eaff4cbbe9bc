"""Search latency on this machine: warm searches, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secondpass.rerank.base import BaseReranker

if TYPE_CHECKING:
    from secondpass.index.search import Search

SEARCHES = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of `searches` searches: the median and the 95th percentile."""

    median: float
    p95: float
    searches: int


@dataclass(frozen=True)
class Latencies:
    """Latency of the first stage by mode, and of the reranker alone by model and depth."""

    first_stage: Mapping[str, Latency]
    reranker: Mapping[tuple[str, int], Latency]

    def total(self, mode: str, model: str | None = None, depth: int = 0) -> float:
        """Return the median milliseconds of a search, both passes added up."""
        first_stage = self.first_stage[mode].median
        return (
            first_stage if model is None else first_stage + self.reranker[model, depth].median
        )


def measure_latency(
    index: Search,
    queries: Sequence[str],
    models: Mapping[str, BaseReranker],
    depths: Sequence[int],
    *,
    modes: Sequence[str] = ("hybrid",),
    searches: int = SEARCHES,
    progress: Callable[[int, int], None] | None = None,
) -> Latencies:
    """Time searches of a sample of the queries, spread evenly over all of them.

    The first search of each kind is not counted: it loads what later ones find loaded.
    """
    step = max(1, len(queries) // searches)
    sample = list(queries)[::step][:searches]
    total, done = (len(modes) + len(models) * len(depths)) * (len(sample) + 1), 0

    def measure(search: Callable[[str], float]) -> Latency:
        nonlocal done
        times = []
        for query in (sample[0], *sample):
            times.append(search(query))
            done += 1
            if progress is not None:
                progress(done, total)
        median, p95 = np.percentile(times[1:], [50, 95])
        return Latency(float(median), float(p95), len(sample))

    def first_stage_search(mode: str) -> Callable[[str], float]:
        return lambda query: index.search(
            query, mode=mode, candidates=max(depths), rerank=False, return_documents=False
        ).timings["total"]

    def reranked_search(model: BaseReranker, depth: int) -> Callable[[str], float]:
        return lambda query: index.search(
            query, mode=modes[0], candidates=depth, rerank=model, return_documents=False
        ).timings["rerank"]

    return Latencies(
        {mode: measure(first_stage_search(mode)) for mode in modes},
        {
            (name, depth): measure(reranked_search(model, depth))
            for name, model in models.items()
            for depth in depths
        },
    )
