"""The results of a response, from the scores of its candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from secondpass.errors import InputError, ModelError
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import best_window
from secondpass.types import Candidate, FirstStageScores, RankedDocument, ScoreKind


def filter_by_probability(
    results: Sequence[RankedDocument], min_probability: float, model: str
) -> tuple[list[RankedDocument], str | None]:
    """Return the results of at least `min_probability`, and why there are none.

    Results that were not scored have no probability and are dropped too; where nothing was
    scored at all, because a fallback stood in for the model, all stay. Raises `InputError` for
    a model that gives no probabilities.
    """
    if not any(r.scored for r in results):
        return [*results], None
    if any(r.scored and r.probability is None for r in results):
        raise InputError(
            "min_probability cannot be applied",
            where=f"model {model}",
            why="it gives no probabilities",
            fix="Calibrate it with: secondpass calibrate",
        )
    likely = [
        r for r in results if r.probability is not None and r.probability >= min_probability
    ]
    if likely or not results:
        return likely, None
    best = max((r.probability for r in results if r.probability is not None), default=0.0)
    return [], (
        f"no good answer: the best of {len(results)} has a probability of {best:.3f}, "
        f"and min_probability is {min_probability:g}"
    )


def rank_results(
    candidates: Sequence[Candidate],
    scored: Scored,
    options: ScoringOptions,
    return_documents: bool,
) -> list[RankedDocument]:
    """Return the candidates by falling score; ties by first-stage rank, then by id.

    Raises `ModelError` for a score that is not a finite number.
    """
    for position, score in enumerate(scored.scores):
        if not math.isfinite(score.value):
            raise ModelError(
                f"The score of document {position} is {score.value}",
                fix="Run: secondpass doctor",
            )
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]

    def sort_key(i: int) -> tuple[float, bool, int, str, int]:
        score, name = scored.scores[i], candidates[i].document.id or ""
        return (-score.value, not score.scored, ranks[i], name, i)

    return [
        _result(rank, i, candidates[i], ranks[i], scored, options, return_documents)
        for rank, i in enumerate(sorted(range(len(candidates)), key=sort_key), start=1)
    ]


def _result(
    rank: int,
    index: int,
    candidate: Candidate,
    first_rank: int,
    scored: Scored,
    options: ScoringOptions,
    return_documents: bool,
) -> RankedDocument:
    score = scored.scores[index]
    return RankedDocument(
        index=index,
        rank=rank,
        score=score.value,
        # A score that no model gave can be compared with nothing outside its response.
        score_kind=scored.kind if score.scored else ScoreKind.RANK,
        first_stage=FirstStageScores(
            first_rank, candidate.score, candidate.bm25, candidate.vector
        ),
        id=candidate.document.id,
        document=candidate.document if return_documents else None,
        probability=score.probability,
        windows=score.windows,
        unread=score.unread,
        parts=score.parts,
        scored=score.scored,
        document_id=candidate.document.document_id,
        chunk=candidate.document.chunk,
        best_window=best_window(score.window_scores, candidate.document.text, options),
    )
