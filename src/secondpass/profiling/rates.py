"""How many documents a second a reranker reads, and how long a query takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike


@dataclass(frozen=True, slots=True)
class Rates:
    """Queries of so many documents: `p50`, `p95` are milliseconds a query.

    `documents_per_second` is that of the median query; `first` is the milliseconds of the
    first query, which a reader spends on documents that it has not read before.
    """

    documents: int
    rounds: int
    first: float
    p50: float
    p95: float
    documents_per_second: float


def measure_rates(
    reranker: BaseReranker,
    query: str,
    documents: Sequence[DocumentLike],
    *,
    rounds: int = 5,
    max_length: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Rates:
    """Rank the documents once and then `rounds` times more, for queries that differ.

    The query gets a number, so that nothing made for it before can be used again.
    """
    reranker.rerank("a question to warm up with", ["A text to warm up with."])
    times = []
    for turn in range(rounds + 1):
        started = time.perf_counter()
        reranker.rerank(f"{query} {turn}", documents, max_length=max_length)
        times.append((time.perf_counter() - started) * 1000)
        if progress is not None:
            progress(turn + 1, rounds + 1)
    later = times[1:]
    median = float(np.median(later))
    return Rates(
        documents=len(documents),
        rounds=rounds,
        first=times[0],
        p50=median,
        p95=float(np.percentile(later, 95)),
        documents_per_second=1000 * len(documents) / median,
    )
