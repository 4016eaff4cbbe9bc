"""Search latency on this machine: warm searches, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secondpass.rerank.base import BaseReranker

if TYPE_CHECKING:
    from secondpass.index.index import Index

SEARCHES = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of `searches` searches: the median and the 95th percentile."""

    median: float
    p95: float
    searches: int


@dataclass(frozen=True)
class Latencies:
    """`first` by mode, without a second pass; `second` by model and depth, of that alone."""

    first: Mapping[str, Latency]
    second: Mapping[tuple[str, int], Latency]

    def total(self, mode: str, model: str | None = None, depth: int = 0) -> float:
        """Return the median of a search in milliseconds, both passes added up."""
        first = self.first[mode].median
        return first if model is None else first + self.second[model, depth].median


def measure_latency(
    index: Index,
    queries: Sequence[str],
    models: Mapping[str, BaseReranker],
    depths: Sequence[int],
    *,
    modes: Sequence[str] = ("hybrid",),
    searches: int = SEARCHES,
    progress: Callable[[int, int], None] | None = None,
) -> Latencies:
    """Time searches of some of the queries, spread over all of them.

    The first search of each kind is not counted: it loads what later ones find loaded.
    """
    step = max(1, len(queries) // searches)
    some = list(queries)[::step][:searches]
    total, done = (len(modes) + len(models) * len(depths)) * (len(some) + 1), 0

    def timed(search: Callable[[str], float]) -> Latency:
        nonlocal done
        times = []
        for query in (some[0], *some):
            times.append(search(query))
            done += 1
            if progress is not None:
                progress(done, total)
        median, p95 = np.percentile(times[1:], [50, 95])
        return Latency(float(median), float(p95), len(some))

    def first(mode: str) -> Callable[[str], float]:
        deep = max(depths)
        return lambda query: index.search(
            query, mode=mode, candidates=deep, rerank=False, return_documents=False
        ).timings["total"]

    def second(model: BaseReranker, depth: int) -> Callable[[str], float]:
        return lambda query: index.search(
            query, mode=modes[0], candidates=depth, rerank=model, return_documents=False
        ).timings["rerank"]

    return Latencies(
        {mode: timed(first(mode)) for mode in modes},
        {
            (name, depth): timed(second(model, depth))
            for name, model in models.items()
            for depth in depths
        },
    )
