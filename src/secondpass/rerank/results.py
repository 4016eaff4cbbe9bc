"""From scores to results: the order of a response."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from secondpass.errors import ModelError
from secondpass.types import Candidate, FirstStageScores, RankedDocument, ScoreKind

if TYPE_CHECKING:
    from secondpass.rerank.base import Scored


def ranked(
    candidates: Sequence[Candidate], scored: Scored, return_documents: bool
) -> list[RankedDocument]:
    """Return the candidates by falling score; ties by first-stage rank, then by id.

    Raises ModelError for a score that is not a finite number.
    """
    for position, score in enumerate(scored.scores):
        if not math.isfinite(score.value):
            raise ModelError(
                f"The model scored document {position} with {score.value}",
                fix="Run: secondpass doctor",
            )
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]

    def order(i: int) -> tuple[float, bool, int, str, int]:
        score, name = scored.scores[i], candidates[i].document.id or ""
        return (-score.value, not score.scored, ranks[i], name, i)

    return [
        _result(rank, i, candidates[i], ranks[i], scored, return_documents)
        for rank, i in enumerate(sorted(range(len(candidates)), key=order), start=1)
    ]


def _result(
    rank: int,
    index: int,
    candidate: Candidate,
    first_rank: int,
    scored: Scored,
    return_documents: bool,
) -> RankedDocument:
    score = scored.scores[index]
    first = FirstStageScores(first_rank, candidate.score, candidate.bm25, candidate.vector)
    return RankedDocument(
        index=index,
        rank=rank,
        score=score.value,
        # A score that no model gave can be compared with nothing outside its response.
        score_kind=scored.kind if score.scored else ScoreKind.RANK,
        first_stage=first,
        id=candidate.document.id,
        document=candidate.document if return_documents else None,
        probability=score.probability,
        windows=score.windows,
        unread=score.unread,
        parts=score.parts,
        scored=score.scored,
    )
