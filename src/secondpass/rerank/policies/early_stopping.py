"""Scoring in batches that stops when the top results no longer change."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.wrapper import (
    RerankerWrapper,
    best_first,
    merge_scores,
    require_pairwise_scores,
)
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate


class EarlyStopping(RerankerWrapper):
    """Scores candidates in batches, best of the first stage first, until the top is stable.

    - `k`: how many top results must be stable; the `top_k` of a call, where that is more.
    - `batch`: candidates in a batch; `patience`: how many batches in a row may leave the top
      unchanged before scoring stops. All three are at least 1.

    It also stops where the wrapped reranker leaves candidates unscored, because its budget is
    spent. A response with fewer than all scored has the status "partially_reranked".

    This is a heuristic: a document that the first stage ranked low is missed however well the
    model would score it. Raises `InputError` for other numbers, and for a reranker whose scores
    depend on the whole list (`ScoreKind.RANK`).
    """

    def __init__(
        self, reranker: BaseReranker, *, k: int = 10, batch: int = 10, patience: int = 2
    ) -> None:
        super().__init__(reranker)
        self.k = require_count("k", k)
        self.batch = require_count("batch", batch)
        self.patience = require_count("patience", patience)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score batch by batch until the top is stable or all are scored."""
        k = self.k if options.top_k is None else max(self.k, options.top_k)
        order, parts = best_first(candidates), list[Scored]()
        scores: dict[int, Score] = {}
        top: list[float] = []
        unchanged_batches = 0
        for start in range(0, len(order), self.batch):
            batch = order[start : start + self.batch]
            part = self.reranker.score(query, [candidates[i] for i in batch], options)
            require_pairwise_scores(
                "EarlyStopping", part, "Wrap this policy: Blend(EarlyStopping(reranker))."
            )
            parts.append(part)
            scores.update(zip(batch, part.scores, strict=True))
            if not all(s.scored for s in part.scores):
                break
            # A tie with the last of the top ranks behind it, and so changes nothing.
            new_top = sorted([*top, *(s.value for s in part.scores)], reverse=True)[:k]
            unchanged_batches = unchanged_batches + 1 if new_top == top else 0
            top = new_top
            if unchanged_batches == self.patience:
                break
        count = sum(s.scored for s in scores.values())
        reason = None
        if unchanged_batches == self.patience:
            reason = f"the top {k} was stable after {count} of {len(order)} candidates"
        return merge_scores(scores, len(order), parts=parts, reason=reason)
