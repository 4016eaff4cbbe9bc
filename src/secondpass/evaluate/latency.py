"""Search latency on this machine: warm searches, one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from secondpass.option_values import RESCORE_AUTO, RESCORE_NONE
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.blend import neighbor_part

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
    """Latency of the first stage by mode, and of the reranker alone by model and depth.

    `neighbors`, by depth, is what the part "neighbors" of a blend adds; empty if not timed.
    """

    first_stage: Mapping[str, Latency]
    reranker: Mapping[tuple[str, int], Latency]
    neighbors: Mapping[int, Latency] = field(default_factory=dict)

    def total(
        self, mode: str, model: str | None = None, depth: int = 0, *, neighbors: bool = False
    ) -> float:
        """Return the median milliseconds of a search, its parts added up."""
        parts = [self.first_stage[mode]]
        if model is not None:
            parts.append(self.reranker[model, depth])
        if neighbors and depth in self.neighbors:
            parts.append(self.neighbors[depth])
        return sum(part.median for part in parts)


def measure_latency(
    index: Search,
    queries: Sequence[str],
    models: Mapping[str, BaseReranker],
    depths: Sequence[int],
    *,
    modes: Sequence[str] = ("hybrid",),
    searches: int = SEARCHES,
    automatic: Collection[str] = (),
    neighbors: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Latencies:
    """Time searches of a sample of the queries, spread evenly over all of them.

    The first search of each kind is not counted: it loads what later ones find loaded. Those of
    `automatic` are the names of `models` whose first results are read again, as by default, and
    not once. With `neighbors`, the part of that name of a blend is timed by itself.
    """
    step = max(1, len(queries) // searches)
    sample = list(queries)[::step][:searches]
    kinds = len(modes) + (len(models) + neighbors) * len(depths)
    total, done = kinds * (len(sample) + 1), 0

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

    def reranked_search(name: str, depth: int) -> Callable[[str], float]:
        model = models[name]
        rescore = RESCORE_AUTO if name in automatic else RESCORE_NONE
        return lambda query: index.search(
            query,
            mode=modes[0],
            candidates=depth,
            rerank=model,
            rescore=rescore,
            return_documents=False,
        ).timings["rerank"]

    def neighbors_of(depth: int) -> Callable[[str], float]:
        def search(query: str) -> float:
            found = index.first_pass(query, mode=modes[0], candidates=depth)
            documents = [candidate.document for candidate in found]
            began = perf_counter()
            stored = index.retriever.embeddings(documents)
            if stored:
                neighbor_part([stored.get(d.key) for d in documents], [0.5] * len(documents))
            return (perf_counter() - began) * 1000

        return search

    return Latencies(
        {mode: measure(first_stage_search(mode)) for mode in modes},
        {
            (name, depth): measure(reranked_search(name, depth))
            for name in models
            for depth in depths
        },
        {depth: measure(neighbors_of(depth)) for depth in depths if neighbors},
    )
