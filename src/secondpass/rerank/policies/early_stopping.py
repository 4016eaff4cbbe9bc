"""Go deeper in steps, and stop when the top no longer changes."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.wrapper import (
    RerankerWrapper,
    best_first,
    check_pairwise,
    merge,
)
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate


class EarlyStopping(RerankerWrapper):
    """Scores candidates in batches, best of the first stage first, until the top is settled.

    It stops after `patience` batches of `batch` candidates of which none entered the top
    `k`. A caller who asks for more than `k` results is given a top of that many. It also
    stops where the wrapped reranker leaves candidates unscored, because its budget is spent.
    A response with fewer than all scored has the status "partially_reranked".

    This is a rule of thumb: a document that the first stage put far down is missed however
    well the model would score it. All three numbers are at least 1. Raises `InputError` for
    others, and for a reranker whose scores depend on the whole list (`ScoreKind.RANK`).
    """

    def __init__(
        self, reranker: BaseReranker, *, k: int = 10, batch: int = 10, patience: int = 2
    ) -> None:
        super().__init__(reranker)
        self.k = require_count("k", k)
        self.batch = require_count("batch", batch)
        self.patience = require_count("patience", patience)

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score batch by batch until the top is settled or all are scored."""
        k = self.k if reading.top_k is None else max(self.k, reading.top_k)
        order, parts = best_first(candidates), list[Scored]()
        found: dict[int, Score] = {}
        top: list[float] = []
        quiet = 0
        for start in range(0, len(order), self.batch):
            batch = order[start : start + self.batch]
            part = self.reranker.score(query, [candidates[i] for i in batch], reading)
            check_pairwise("Adaptive", part, "Wrap this policy: Blend(Adaptive(reranker)).")
            parts.append(part)
            found.update(zip(batch, part.scores, strict=True))
            if not all(s.scored for s in part.scores):
                break
            # A tie with the last of the top stands behind it, and so changes nothing.
            better = sorted([*top, *(s.value for s in part.scores)], reverse=True)[:k]
            quiet = quiet + 1 if better == top else 0
            top = better
            if quiet == self.patience:
                break
        read = sum(s.scored for s in found.values())
        told = f"the top {k} was settled after {read} of {len(order)} candidates"
        stopped = told if quiet == self.patience else None
        return merge(found, len(order), last=parts, reason=stopped)
