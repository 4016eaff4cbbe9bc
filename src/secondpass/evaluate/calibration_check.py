"""Whether the probabilities of a model hold on the candidates of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.calibration import check_enough, held_out_chances
from secondpass.evaluate.calibrators import fit
from secondpass.evaluate.reliability import Reliability, reliability
from secondpass.rerank.calibration import raw_score

if TYPE_CHECKING:
    from secondpass.evaluate.experiment import ExperimentData

METHOD = "platt"


@dataclass(frozen=True)
class Probabilities:
    """How far a model's probabilities are from what is relevant, of `depth` candidates each.

    - `shipped`: its own; None where it gives none, or the labels are too few.
    - `calibrated`: by Platt, each query by a fit that had not seen it; None likewise.
    - `relevant`, `irrelevant`: labels, among them `unjudged` ones taken for irrelevant.
    - `given`: whether the model gives any; `note`: why there is no measurement.
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


def check_probabilities(
    evidence: ExperimentData, model: str, *, mode: str, depth: int
) -> Probabilities:
    """Measure them on the candidates that a mode hands over; never raises for few labels."""
    qrels, kind = evidence.collection.qrels, evidence.kinds[model]
    raw: list[float] = []
    own: list[float | None] = []
    grades: list[int | None] = []
    places: list[int] = []
    for query, halves in evidence.found.halves.items():
        entries = halves.first(mode, depth)
        known = evidence.chances.get(model, {}).get(query, {})
        # Numbers without a gap: a query that found nothing has no pair.
        number = places[-1] + 1 if places else 0
        for entry in entries:
            raw.append(raw_score(evidence.scores[model][query][entry.id], kind))
            own.append(known.get(entry.id))
            grades.append(qrels[query].get(entry.judged))
            places.append(number)
    hits = sum(grade is not None and grade > 0 for grade in grades)
    counts = (hits, len(grades) - hits, grades.count(None), len(set(places)))
    given = bool(own) and None not in own
    try:
        check_enough(METHOD, hits, len(grades) - hits, len(set(places)))
    except InputError as error:
        note = f"{error.what}: {error.why}"
        return Probabilities(model, depth, None, None, *counts, given, note)
    scores, queries = np.array(raw), np.array(places, dtype=np.int64)
    relevant = np.array([grade is not None and grade > 0 for grade in grades])
    shipped = None
    if given:
        shipped = reliability(np.array(own, dtype=np.float64), relevant, queries)
    if fit(METHOD, scores, relevant) is None:
        note = (
            "relevant candidates do not score higher than the others, so nothing calibrates it"
        )
        return Probabilities(model, depth, shipped, None, *counts, given, note)
    held_out = held_out_chances(METHOD, scores, relevant, queries)
    calibrated = reliability(held_out, relevant, queries)
    return Probabilities(model, depth, shipped, calibrated, *counts, given)
