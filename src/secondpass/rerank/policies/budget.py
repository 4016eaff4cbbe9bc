"""Score what fits into a time budget, best candidates first.

How long a candidate takes, learned from what was timed.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.policies.wrapper import (
    RerankerWrapper,
    best_first,
    check_pairwise,
    merge,
)
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate

FIRST, MOST = 4, 64
"""Candidates of the first batch, whose cost nobody knows, and of the largest."""

# The weight of the last batch: high, because a machine's load and the length of texts vary.
_LAST = 0.5


class LatencyEstimate:
    """Milliseconds a candidate takes, as a moving average; safe to use from several threads."""

    def __init__(self) -> None:
        self._cost: float | None = None
        self._lock = threading.Lock()

    @property
    def cost(self) -> float | None:
        """Milliseconds a candidate, or None before the first batch."""
        return self._cost

    def learn(self, candidates: int, milliseconds: float, *, first: bool) -> None:
        """Count a batch of at least one candidate.

        The first of a query also pays for the query: it counts only where it was cheaper
        than expected, or nothing was.
        """
        seen = milliseconds / candidates
        with self._lock:
            known = self._cost
            if known is None:
                self._cost = seen
            elif not first or seen < known:
                self._cost = _LAST * seen + (1 - _LAST) * known

    def batch(self, left_ms: float, *, first: bool) -> int:
        """Return how many candidates to score next, 0 to stop.

        A batch is meant to take half of the time that is left, so that what it takes more
        than that seldom reaches the end; the first is small and never 0.
        """
        if self._cost is None:
            return FIRST
        fits = int(min(left_ms / max(self._cost, 1e-6), 2 * MOST)) if left_ms > 0 else 0
        half = fits if fits <= FIRST else max(FIRST, fits // 2)
        return max(1, min(FIRST, half)) if first else min(MOST, half)


class Budgeted(RerankerWrapper):
    """Scores as many candidates as fit into `budget_ms`, best of the first stage first.

    The clock starts when `rerank` is called, of the outermost policy where this one is
    inside others. Candidates are scored in batches, the first of them small; how long a
    candidate takes is learned on the way and remembered for the next query. No batch is
    begun after the budget is spent, except that the first always runs: so it takes at most
    the budget and one batch. A response with fewer than all scored has the status
    "partially_reranked".

    `budget_ms` is milliseconds above 0. Raises `InputError` for another, and for a reranker
    whose scores depend on the whole list (`ScoreKind.RANK`).
    """

    def __init__(self, reranker: BaseReranker, budget_ms: float) -> None:
        if (
            isinstance(budget_ms, bool)
            or not isinstance(budget_ms, int | float)
            or not (math.isfinite(budget_ms) and budget_ms > 0)
        ):
            raise InputError(
                f"budget_ms must be a number of milliseconds above 0, not {budget_ms!r}",
                fix="To search without reranking, pass rerank=False.",
            )
        super().__init__(reranker)
        self.budget_ms = float(budget_ms)
        self._pace = LatencyEstimate()

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score batch by batch until all are scored or the time is up."""
        now = time.perf_counter()
        start = now if reading.started is None else reading.started
        order, parts = best_first(candidates), list[Scored]()
        found: dict[int, Score] = {}
        while len(found) < len(order):
            left = self.budget_ms - (now - start) * 1000
            size = self._pace.batch(left, first=not parts)
            if not size:
                break
            batch = order[len(found) : len(found) + size]
            part = self.reranker.score(query, [candidates[i] for i in batch], reading)
            check_pairwise("Budgeted", part, "Wrap the budget: Blend(Budgeted(reranker, 80)).")
            before, now = now, time.perf_counter()
            self._pace.learn(len(batch), (now - before) * 1000, first=not parts)
            parts.append(part)
            found.update(zip(batch, part.scores, strict=True))
        told = f"{self.model} scored {len(found)} of {len(order)} in {self.budget_ms:g} ms"
        return merge(found, len(order), last=parts, reason=told)
