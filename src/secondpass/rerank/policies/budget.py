"""A time budget for one query: score what fits into it, best candidates first."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import (
    RerankerWrapper,
    best_first,
    merge_scores,
    require_pairwise_scores,
)
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate

FIRST_BATCH, MAX_BATCH = 4, 64
"""Candidates of the first batch, whose latency is not known yet, and of the largest."""

# The weight of the last batch: high, because a machine's load and the length of texts vary.
_SMOOTHING = 0.5


class LatencyEstimate:
    """Milliseconds a candidate, as an exponential moving average; thread-safe."""

    def __init__(self) -> None:
        self._ms: float | None = None
        self._lock = threading.Lock()

    @property
    def ms_per_candidate(self) -> float | None:
        """The estimate, or None before the first batch."""
        return self._ms

    def update(self, candidates: int, milliseconds: float, *, first: bool) -> None:
        """Add the time of a batch of at least one candidate.

        The first batch of a query includes the work on the query: it counts only where it was
        faster than expected, or where there is no estimate yet.
        """
        measured = milliseconds / candidates
        with self._lock:
            estimate = self._ms
            if estimate is None:
                self._ms = measured
            elif not first or measured < estimate:
                self._ms = _SMOOTHING * measured + (1 - _SMOOTHING) * estimate

    def batch_size(self, ms_left: float, *, first: bool) -> int:
        """Return how many candidates to score next, 0 to stop.

        A batch is planned for half of the time that is left, so that an overrun seldom exceeds
        the budget; the first is small and never 0.
        """
        if self._ms is None:
            return FIRST_BATCH
        fits = int(min(ms_left / max(self._ms, 1e-6), 2 * MAX_BATCH)) if ms_left > 0 else 0
        half = fits if fits <= FIRST_BATCH else max(FIRST_BATCH, fits // 2)
        return max(1, min(FIRST_BATCH, half)) if first else min(MAX_BATCH, half)


class Budgeted(RerankerWrapper):
    """Scores as many candidates as fit into `budget_ms`, best of the first stage first.

    - `budget_ms`: milliseconds above 0, from the call of `rerank` of the outermost policy.

    Candidates are scored in batches, the first of them small; the latency of a candidate is
    estimated on the way and kept for the next query. No batch begins after the budget is spent,
    except that the first always runs: a call takes at most the budget and one batch. A response
    with fewer than all scored has the status "partially_reranked".

    Raises `InputError` for other numbers, and for a reranker whose scores depend on the whole
    list (`ScoreKind.RANK`).
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
        self._latency = LatencyEstimate()

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score batch by batch until all are scored or the budget is spent."""
        now = time.perf_counter()
        start = now if options.started is None else options.started
        order, parts = best_first(candidates), list[Scored]()
        scores: dict[int, Score] = {}
        while len(scores) < len(order):
            ms_left = self.budget_ms - (now - start) * 1000
            size = self._latency.batch_size(ms_left, first=not parts)
            if not size:
                break
            batch = order[len(scores) : len(scores) + size]
            part = self.reranker.score(query, [candidates[i] for i in batch], options)
            require_pairwise_scores(
                "Budgeted", part, "Wrap the budget: Blend(Budgeted(reranker, 80))."
            )
            before, now = now, time.perf_counter()
            self._latency.update(len(batch), (now - before) * 1000, first=not parts)
            parts.append(part)
            scores.update(zip(batch, part.scores, strict=True))
        reason = f"{self.model} scored {len(scores)} of {len(order)} in {self.budget_ms:g} ms"
        return merge_scores(scores, len(order), parts=parts, reason=reason)
