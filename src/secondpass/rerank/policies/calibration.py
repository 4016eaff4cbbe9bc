"""Probabilities that hold on the user's own data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.calibration import (
    Calibration,
    raw_score,
    read_calibration,
    reading_of,
)
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind


class Calibrated(RerankerWrapper):
    """Turns a reranker's scores into the chance of being relevant, by the user's labels.

    `calibration` is what `secondpass calibrate` wrote, or its file. The scores become
    calibrated log-odds (`ScoreKind.LOGIT`) and `probability` follows them; the order is the
    reranker's, within a `Blend` too. Documents read otherwise than when it was fitted are
    calibrated all the same, and `reason` says so.

    Raises `InputError` for a calibration of another model, and for scores that mean
    something within one list only (`ScoreKind.RANK`).
    """

    def __init__(self, reranker: BaseReranker, calibration: Calibration | str | Path) -> None:
        if not isinstance(calibration, Calibration):
            calibration = read_calibration(calibration)
        found = identity_of(reranker)
        if calibration.identity != found:
            raise InputError(
                f"The calibration is of another model than {reranker.model!r}",
                why=f"it was fitted for {calibration.model!r} with the digest "
                f"{calibration.identity[:12]}…, and this one's is {found[:12]}…",
                fix="Calibrate this model with: secondpass calibrate",
            )
        super().__init__(reranker)
        self.calibration = calibration

    @property
    def identity(self) -> str | None:
        """What tells these scores from those of any other reranker or calibration."""
        inner = self.reranker.identity
        if inner is None:
            return None
        rest = {k: v for k, v in self.calibration.as_object().items() if k != "about"}
        return hashlib.sha256(json.dumps([inner, rest], sort_keys=True).encode()).hexdigest()

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then calibrate what it scored."""
        scored = self.reranker.score(query, candidates, reading)
        if not any(s.scored for s in scored.scores):
            return scored
        if scored.kind is ScoreKind.RANK:
            raise InputError(
                "These scores cannot be calibrated",
                why="they mean something within one list only",
                fix="Calibrate the reranker inside: Blend(Calibrated(reranker, …)).",
            )
        raw = [raw_score(s.value, scored.kind) for s in scored.scores]
        values = self.calibration.log_odds(raw).tolist()
        reason = scored.reason
        if reason is None and reading_of(reading) != self.calibration.reading:
            reason = "the calibration was fitted on documents that were read otherwise"
        scores = [
            _calibrated(one, value, before)
            for one, value, before in zip(scored.scores, values, raw, strict=True)
        ]
        return replace(scored, scores=scores, kind=ScoreKind.LOGIT, reason=reason)


def identity_of(reranker: BaseReranker) -> str:
    """Return what tells the model inside a reranker from any other.

    Where it has no identity of its own, its name has to do.
    """
    base = reranker.base
    return f"name:{base.model}" if base.identity is None else base.identity


def _calibrated(score: Score, value: float, raw: float) -> Score:
    chance = sigmoid(value) if score.scored else None
    return replace(score, value=value, probability=chance, raw=raw)
