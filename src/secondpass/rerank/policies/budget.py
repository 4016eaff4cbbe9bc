"""Score what fits into a time budget, best candidates first."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.policies.pace import Pace
from secondpass.rerank.policies.wrapper import best_first, check_pairwise, merge
from secondpass.rerank.policies.wrapping import Wrapping
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate


class Budgeted(Wrapping):
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
        self._pace = Pace()

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
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
