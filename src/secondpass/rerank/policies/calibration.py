"""Calibrated probabilities of relevance, by the user's labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.calibration import (
    Calibration,
    raw_score,
    read_calibration,
    scoring_conditions,
)
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind


class Calibrated(RerankerWrapper):
    """Turns a reranker's scores into probabilities of relevance, fitted to the user's labels.

    - `calibration`: what `secondpass calibrate` wrote, or the path of its file.

    Scores become calibrated log-odds (`ScoreKind.LOGIT`) with `probability` to match; the order
    stays the reranker's, within a `Blend` too. Scores under other `ScoringOptions` than it was
    fitted with are calibrated all the same, and `reason` says so.

    Raises `InputError` for a calibration of another model, and for scores that only order one
    list (`ScoreKind.RANK`).
    """

    def __init__(self, reranker: BaseReranker, calibration: Calibration | str | Path) -> None:
        if not isinstance(calibration, Calibration):
            calibration = read_calibration(calibration)
        identity = model_identity(reranker)
        if calibration.identity != identity:
            raise InputError(
                f"The calibration is of another model than {reranker.model!r}",
                why=f"it was fitted for {calibration.model!r} with the digest "
                f"{calibration.identity[:12]}…, and this one's is {identity[:12]}…",
                fix="Calibrate this model with: secondpass calibrate",
            )
        super().__init__(reranker)
        self.calibration = calibration

    @property
    def default_rescorer(self) -> str | None:
        """The model that reads the first results of the wrapped reranker again."""
        return self.reranker.default_rescorer

    @property
    def identity(self) -> str | None:
        """The fingerprint of the wrapped reranker and the calibration."""
        inner = self.reranker.identity
        if inner is None:
            return None
        fitted = {k: v for k, v in self.calibration.as_object().items() if k != "about"}
        return hashlib.sha256(json.dumps([inner, fitted], sort_keys=True).encode()).hexdigest()

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then calibrate the scores."""
        scored = self.reranker.score(query, candidates, options)
        if not any(s.scored for s in scored.scores):
            return scored
        if scored.kind is ScoreKind.RANK:
            raise InputError(
                "These scores cannot be calibrated",
                why="they order one list only",
                fix="Calibrate the reranker inside: Blend(Calibrated(reranker, …)).",
            )
        raw = [raw_score(s.value, scored.kind) for s in scored.scores]
        values = self.calibration.log_odds(raw).tolist()
        reason = scored.reason
        if reason is None and scoring_conditions(options) != self.calibration.reading:
            reason = "the calibration was fitted with other scoring options"
        scores = [
            _calibrate(score, value, raw_value)
            for score, value, raw_value in zip(scored.scores, values, raw, strict=True)
        ]
        return replace(scored, scores=scores, kind=ScoreKind.LOGIT, reason=reason)


def model_identity(reranker: BaseReranker) -> str:
    """Return the fingerprint of the model inside a reranker, or its name where it has none."""
    base = reranker.base
    return f"name:{base.model}" if base.identity is None else base.identity


def _calibrate(score: Score, value: float, raw: float) -> Score:
    probability = sigmoid(value) if score.scored else None
    return replace(score, value=value, probability=probability, raw=raw)
