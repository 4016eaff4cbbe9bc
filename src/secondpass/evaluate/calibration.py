"""Fit what turns a reranker's scores into the chance of being relevant.

How many labels a calibration needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.evaluate.calibrators import FittedCalibration, fit
from secondpass.evaluate.qrels import LabelledQuery
from secondpass.evaluate.reliability import Reliability, reliability
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.calibration import METHODS, Calibration, raw_score, scoring_conditions
from secondpass.rerank.policies.calibration import model_identity
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.settings import write_json
from secondpass.types import ScoreKind

QUERIES = 10
"""Fewer queries say too little about the next one, however many pairs they have."""

_WIDTH = {"platt": 0.5, "temperature": 0.5, "isotonic": 0.25}
"""What the base rate may be off by, in log-odds, at 95%."""


def check_enough(method: str, relevant: int, irrelevant: int, queries: int) -> None:
    """Raise `InputError` that says how many labels are needed, if these are too few.

    The rule: the base rate must be known to within 0.5 in log-odds at 95% (0.25 for
    isotonic, which fits many steps), that is 1.96 · sqrt(1/relevant + 1/irrelevant), from
    at least 10 queries. With equal shares that is 31 of each kind, and 123 for isotonic.
    """
    most = (_WIDTH[method] / 1.96) ** 2
    have = f"{relevant} relevant and {irrelevant} irrelevant pairs of {queries} queries"
    what = "There are too few labels to calibrate on"
    if not relevant or not irrelevant:
        missing = "relevant" if not relevant else "irrelevant"
        needed = math.ceil(2 / most)
        raise InputError(
            what,
            why=f"{have}: none is {missing}",
            fix=f"Add {missing} pairs: about {needed} of each kind are needed.",
        )
    # A hair of room, so that the number that is said to be enough is enough.
    if 1 / relevant + 1 / irrelevant > most * (1 + 1e-9):
        growth = (1 / relevant + 1 / irrelevant) / most
        need = math.ceil(relevant * growth), math.ceil(irrelevant * growth)
        raise InputError(
            what,
            why=have,
            fix=f"At this share of relevant ones, {need[0]} relevant and {need[1]} irrelevant "
            f"pairs are needed for {method}: label more with secondpass label.",
        )
    if queries < QUERIES:
        raise InputError(
            what, why=have, fix=f"Label pairs of at least {QUERIES} queries, not {queries}."
        )


Progress = Callable[[str, int, int], None]
FOLDS = 5


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A calibration, and how good it is.

    `before` are the reranker's own probabilities, None where it gives none; `after` those
    of calibrations that had not seen the query: fitted on four fifths of the queries and
    judged on the fifth, five times.
    """

    calibration: Calibration
    before: Reliability | None
    after: Reliability
    relevant: int
    irrelevant: int
    queries: int
    assumed: int

    def as_object(self) -> dict[str, Any]:
        """Return what is said about the labels and the quality, as JSON has it."""
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
    reading: ScoringOptions | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CalibrationReport:
    """Fit a calibration of a reranker on labelled pairs.

    `reading` must be how documents will be read later; `seed` decides which queries judge
    which fit. Raises `InputError` for too few labels (see `check_enough`), an unknown
    method, scores that mean something within one list only, and labels under which
    relevant pairs do not score higher.
    """
    if method not in METHODS:
        raise InputError(f"There is no calibration {method!r}", fix=nearest(method, METHODS))
    reading = ScoringOptions() if reading is None else reading
    relevant = np.array([y for one in labelled for y in one.relevant], dtype=np.bool_)
    queries = np.repeat(np.arange(len(labelled)), [len(one.relevant) for one in labelled])
    hits = int(relevant.sum())
    check_enough(method, hits, len(relevant) - hits, len(labelled))
    scores, own = _scores(reranker, labelled, reading, method, progress)
    found = fit(method, scores, relevant)
    if found is None:
        raise InputError(
            "These labels cannot calibrate the model",
            where=f"model {reranker.model}",
            why="the pairs labelled relevant do not score higher than the others",
            fix="Check the labels, and that the documents are read as intended.",
        )
    common = {
        "model": reranker.model,
        "identity": model_identity(reranker),
        "reading": scoring_conditions(reading),
        "centre": float(scores.mean()),
        "spread": float(scores.std()),
    }
    held_out = held_out_chances(method, scores, relevant, queries, seed=seed)
    report = CalibrationReport(
        calibration=_calibration(method, found, common),
        before=None if own is None else reliability(own, relevant, queries, seed=seed),
        after=reliability(held_out, relevant, queries, seed=seed),
        relevant=hits,
        irrelevant=len(relevant) - hits,
        queries=len(labelled),
        assumed=sum(one.assumed for one in labelled),
    )
    about = {**common, "about": report.as_object()}
    return CalibrationReport(
        _calibration(method, found, about),
        report.before,
        report.after,
        report.relevant,
        report.irrelevant,
        report.queries,
        report.assumed,
    )


def write_calibration(file: Path, calibration: Calibration) -> None:
    """Write a calibration for `Calibrated` and `--calibration`, in one step."""
    try:
        write_json(file, calibration.as_object())
    except OSError as error:
        raise InputError(
            "The calibration cannot be written", where=str(file), why=error.strerror
        ) from error


def _calibration(method: str, fitted: FittedCalibration, common: dict[str, Any]) -> Calibration:
    return Calibration(method, **fitted._asdict(), **common)


def _scores(
    reranker: BaseReranker,
    labelled: Sequence[LabelledQuery],
    reading: ScoringOptions,
    method: str,
    progress: Progress | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    raw: list[float] = []
    own: list[float | None] = []
    for done, one in enumerate(labelled, start=1):
        scored = reranker.score(one.query, one.candidates, reading)
        if scored.kind is ScoreKind.RANK or not all(s.scored for s in scored.scores):
            raise InputError(
                "This reranker cannot be calibrated",
                where=f"model {reranker.model}",
                why="its scores mean something within one list only",
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
    chances = np.array(known) if len(known) == len(own) else None
    return np.array(raw, dtype=np.float64), chances


def held_out_chances(
    method: str,
    scores: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    queries: NDArray[np.int64],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return each pair's chance by a calibration that had not seen its query, [pairs].

    `scores` are raw (see `raw_score`); `queries` numbers the query of each pair, from 0.
    """
    common: dict[str, Any] = {
        "model": "",
        "identity": "",
        "centre": float(scores.mean()),
        "spread": float(scores.std()),
    }
    count = int(queries.max()) + 1
    folds = np.random.default_rng(seed).permutation(count) % FOLDS
    chances = np.empty_like(scores)
    for fold in range(FOLDS):
        held = folds[queries] == fold
        found = fit(method, scores[~held], relevant[~held])
        if found is None:
            # Without a fit, what is promised is the share of the others: no hit is hidden.
            chances[held] = relevant[~held].mean()
            continue
        odds = _calibration(method, found, common).log_odds(scores[held])
        chances[held] = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return chances
