"""Calibration checks: whether a model's probabilities hold on a collection's candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.calibration import check_label_counts, held_out_probabilities
from secondpass.evaluate.calibrators import fit_calibration
from secondpass.evaluate.reliability import Reliability, measure_reliability
from secondpass.rerank.calibration import raw_score

if TYPE_CHECKING:
    from secondpass.evaluate.experiment import ExperimentData

METHOD = "platt"


@dataclass(frozen=True)
class CalibrationCheck:
    """How far a model's probabilities are from relevance, for `depth` candidates a query.

    - `shipped`: its own probabilities; None where it gives none, or labels are too few.
    - `calibrated`: by Platt scaling, each query by a fit without it; None likewise.
    - `relevant`, `irrelevant`: labels; `unjudged` of the irrelevant ones are assumed.
    - `given`: whether the model gives probabilities; `note`: why nothing was measured.
    """

    model: str
    depth: int
    shipped: Reliability | None
    calibrated: Reliability | None
    relevant: int
    irrelevant: int
    unjudged: int
    queries: int
    given: bool
    note: str | None = None


def check_calibration(
    data: ExperimentData, model: str, *, mode: str, depth: int
) -> CalibrationCheck:
    """Measure a model's probabilities on first-stage candidates; few labels raise no error."""
    qrels, kind = data.collection.qrels, data.score_kinds[model]
    raw_scores: list[float] = []
    own_probabilities: list[float | None] = []
    grades: list[int | None] = []
    query_numbers: list[int] = []
    for query, rankings in data.first_stage.rankings.items():
        probabilities = data.probabilities.get(model, {}).get(query, {})
        # Numbers without a gap: a query without candidates has no pair.
        number = query_numbers[-1] + 1 if query_numbers else 0
        for candidate in rankings.candidates(mode, depth):
            raw_scores.append(raw_score(data.scores[model][query][candidate.id], kind))
            own_probabilities.append(probabilities.get(candidate.id))
            grades.append(qrels[query].get(candidate.judged_id))
            query_numbers.append(number)
    relevant = np.array([grade is not None and grade > 0 for grade in grades], dtype=np.bool_)
    scores, queries = np.array(raw_scores), np.array(query_numbers, dtype=np.int64)
    query_count, hits = len(set(query_numbers)), int(relevant.sum())
    given = bool(own_probabilities) and None not in own_probabilities

    def result(
        shipped: Reliability | None, calibrated: Reliability | None, note: str | None = None
    ) -> CalibrationCheck:
        return CalibrationCheck(
            model,
            depth,
            shipped,
            calibrated,
            hits,
            len(grades) - hits,
            grades.count(None),
            query_count,
            given,
            note,
        )

    try:
        check_label_counts(METHOD, hits, len(grades) - hits, query_count)
    except InputError as error:
        return result(None, None, f"{error.what}: {error.why}")
    shipped = None
    if given:
        own = np.array(own_probabilities, dtype=np.float64)
        shipped = measure_reliability(own, relevant, queries)
    if fit_calibration(METHOD, scores, relevant) is None:
        return result(
            shipped,
            None,
            "relevant candidates do not score higher than the others, so there is no"
            " calibration",
        )
    held_out = held_out_probabilities(METHOD, scores, relevant, queries)
    return result(shipped, measure_reliability(held_out, relevant, queries))
