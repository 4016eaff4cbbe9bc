"""Calibration of a reranker: its scores become probabilities, fitted on labeled pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.evaluate.calibrators import CalibrationParameters, fit_calibration
from secondpass.evaluate.qrels import LabelledQuery
from secondpass.evaluate.reliability import Reliability, measure_reliability
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.calibration import METHODS, Calibration, raw_score, scoring_conditions
from secondpass.rerank.policies.calibration import model_identity
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.settings import write_json
from secondpass.types import ScoreKind

MIN_QUERIES = 10
"""Fewer queries say too little about the next one, however many pairs they have."""

FOLDS = 5

_MAX_BASE_RATE_ERROR = {"platt": 0.5, "temperature": 0.5, "isotonic": 0.25}
"""How far the base rate may be off, in log-odds, at 95%."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


def check_label_counts(method: str, relevant: int, irrelevant: int, queries: int) -> None:
    """Raise `InputError` that says how many labels are needed, if these are too few.

    The rule: the base rate must be known to within 0.5 in log-odds at 95% (0.25 for
    isotonic, which fits many steps), that is 1.96 · sqrt(1/relevant + 1/irrelevant), from
    at least 10 queries. With equal shares that is 31 of each kind, and 123 for isotonic.
    """
    max_variance = (_MAX_BASE_RATE_ERROR[method] / 1.96) ** 2
    counts = f"{relevant} relevant and {irrelevant} irrelevant pairs of {queries} queries"
    what = "There are too few labels to calibrate on"
    if not relevant or not irrelevant:
        missing = "relevant" if not relevant else "irrelevant"
        needed = math.ceil(2 / max_variance)
        raise InputError(
            what,
            why=f"{counts}: none is {missing}",
            fix=f"Add {missing} pairs: about {needed} of each kind are needed.",
        )
    variance = 1 / relevant + 1 / irrelevant
    # The tolerance makes the number in the message itself enough.
    if variance > max_variance * (1 + 1e-9):
        growth = variance / max_variance
        need = math.ceil(relevant * growth), math.ceil(irrelevant * growth)
        raise InputError(
            what,
            why=counts,
            fix=f"At this share of relevant ones, {need[0]} relevant and {need[1]} irrelevant "
            f"pairs are needed for {method}: label more with secondpass label.",
        )
    if queries < MIN_QUERIES:
        raise InputError(
            what,
            why=counts,
            fix=f"Label pairs of at least {MIN_QUERIES} queries, not {queries}.",
        )


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A calibration, and how good it is.

    `before` are the reranker's own probabilities, None where it gives none; `after` are
    held out: each query's by a calibration fitted on four fifths of the queries without it.
    """

    calibration: Calibration
    before: Reliability | None
    after: Reliability
    relevant: int
    irrelevant: int
    queries: int
    assumed: int

    def as_object(self) -> dict[str, Any]:
        """Return the label counts and the quality as a JSON object."""
        return {
            "method": self.calibration.method,
            "relevant": self.relevant,
            "irrelevant": self.irrelevant,
            "queries": self.queries,
            "assumed_irrelevant": self.assumed,
            "before": None if self.before is None else asdict(self.before),
            "after": asdict(self.after),
        }


def calibrate(
    reranker: BaseReranker,
    labelled: Sequence[LabelledQuery],
    *,
    method: str = "platt",
    options: ScoringOptions | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CalibrationReport:
    """Fit a calibration of a reranker on labeled pairs.

    `options` must be those that documents will be scored with later; `seed` decides the
    folds. Raises `InputError` for too few labels (see `check_label_counts`), an unknown
    method, scores that are comparable within one list only, and labels under which
    relevant pairs do not score higher.
    """
    if method not in METHODS:
        raise InputError(f"There is no calibration {method!r}", fix=nearest(method, METHODS))
    options = ScoringOptions() if options is None else options
    relevant = np.array([label for q in labelled for label in q.relevant], dtype=np.bool_)
    queries = np.repeat(np.arange(len(labelled)), [len(q.relevant) for q in labelled])
    hits = int(relevant.sum())
    check_label_counts(method, hits, len(relevant) - hits, len(labelled))
    scores, own = _score(reranker, labelled, options, method, progress)
    parameters = fit_calibration(method, scores, relevant)
    if parameters is None:
        raise InputError(
            "These labels cannot calibrate the model",
            where=f"model {reranker.model}",
            why="the pairs labeled relevant do not score higher than the others",
            fix="Check the labels, and that the documents are read as intended.",
        )
    calibration = Calibration(
        method,
        **parameters._asdict(),
        model=reranker.model,
        identity=model_identity(reranker),
        reading=scoring_conditions(options),
        centre=float(scores.mean()),
        spread=float(scores.std()),
    )
    held_out = held_out_probabilities(method, scores, relevant, queries, seed=seed)
    report = CalibrationReport(
        calibration=calibration,
        before=None if own is None else measure_reliability(own, relevant, queries, seed=seed),
        after=measure_reliability(held_out, relevant, queries, seed=seed),
        relevant=hits,
        irrelevant=len(relevant) - hits,
        queries=len(labelled),
        assumed=sum(q.assumed for q in labelled),
    )
    return replace(report, calibration=replace(calibration, about=report.as_object()))


def write_calibration(file: Path, calibration: Calibration) -> None:
    """Write a calibration for `Calibrated` and `--calibration`, in one step."""
    try:
        write_json(file, calibration.as_object())
    except OSError as error:
        raise InputError(
            "The calibration cannot be written", where=str(file), why=error.strerror
        ) from error


def _score(
    reranker: BaseReranker,
    labelled: Sequence[LabelledQuery],
    options: ScoringOptions,
    method: str,
    progress: Progress | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return raw scores, and the reranker's own probabilities if it gives them."""
    raw: list[float] = []
    own: list[float | None] = []
    for done, labelled_query in enumerate(labelled, start=1):
        scored = reranker.score(labelled_query.query, labelled_query.candidates, options)
        if scored.kind is ScoreKind.RANK or not all(s.scored for s in scored.scores):
            raise InputError(
                "This reranker cannot be calibrated",
                where=f"model {reranker.model}",
                why="its scores are comparable within one list only",
                fix="Calibrate the model itself, without policies around it.",
            )
        if scored.kind is ScoreKind.SIMILARITY and method == "temperature":
            raise InputError(
                "A temperature needs log-odds or probabilities, and these are similarities",
                fix="Calibrate with the method platt.",
            )
        raw += [raw_score(s.value, scored.kind) for s in scored.scores]
        own += [s.probability for s in scored.scores]
        if progress is not None:
            progress("score", done, len(labelled))
    known = [p for p in own if p is not None]
    probabilities = np.array(known) if len(known) == len(own) else None
    return np.array(raw, dtype=np.float64), probabilities


def held_out_probabilities(
    method: str,
    scores: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    queries: NDArray[np.int64],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return each pair's probability by a calibration fitted without its query, [pairs].

    `scores` are raw (see `raw_score`); `queries` numbers the query of each pair, from 0.
    """
    center, spread = float(scores.mean()), float(scores.std())
    query_count = int(queries.max()) + 1
    fold_of_query = np.random.default_rng(seed).permutation(query_count) % FOLDS
    probabilities = np.empty_like(scores)
    for fold in range(FOLDS):
        held_out = fold_of_query[queries] == fold
        parameters = fit_calibration(method, scores[~held_out], relevant[~held_out])
        if parameters is None:
            # Without a fit, the best guess is the share of the other queries.
            probabilities[held_out] = relevant[~held_out].mean()
            continue
        calibration = _anonymous_calibration(method, parameters, center, spread)
        log_odds = calibration.log_odds(scores[held_out])
        probabilities[held_out] = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    return probabilities


def _anonymous_calibration(
    method: str, parameters: CalibrationParameters, center: float, spread: float
) -> Calibration:
    return Calibration(
        method, **parameters._asdict(), model="", identity="", centre=center, spread=spread
    )
