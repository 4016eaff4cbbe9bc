"""A weighted sum of the reranker's score and the first stage's scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from secondpass.errors import InputError, nearest
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind, Status

DEFAULT_WEIGHTS: Mapping[str, float] = {"rerank": 1.0, "vector": 0.2, "bm25": 0.3}
"""See docs/explanation/scores.md for how these were chosen."""


class Blend(RerankerWrapper):
    """Orders by a weighted sum of standardized scores: the reranker's, cosine and BM25.

    - `weights`: by "rerank", "vector" and "bm25"; finite, 0 or more, not all 0; those not named
      are 0. None means the weights that were fitted for the model, or `DEFAULT_WEIGHTS`.

    Each score is standardized over the candidates of one query (mean 0, standard deviation 1),
    so the sum orders one response and means nothing across responses (`ScoreKind.RANK`);
    `probability` stays the reranker's own. A candidate without one of the scores counts as the
    lowest of it. A score that no candidate has is left out; with none of the first stage's
    scores, the reranker's are passed through. Raises `InputError` for other weights.
    """

    def __init__(
        self, reranker: BaseReranker, weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(reranker)
        self.weights = check_weights(weights_for(reranker) if weights is None else weights)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then blend in the first stage's scores."""
        scored = self.reranker.score(query, candidates, options)
        if scored.status is Status.FALLBACK:
            # These scores are the first stage's order, which blending with its parts changes.
            return scored
        columns: dict[str, list[float | None]] = {
            "vector": [c.vector for c in candidates],
            "bm25": [c.bm25 for c in candidates],
        }
        if not any(
            self.weights.get(name, 0) and any(v is not None for v in values)
            for name, values in columns.items()
        ):
            return scored
        # The weights were fitted for scores that no calibration has changed.
        columns["rerank"] = [s.value if s.raw is None else s.raw for s in scored.scores]
        parts = {
            name: self.weights[name] * standardize(columns[name])
            for name in DEFAULT_WEIGHTS
            if self.weights.get(name, 0) and any(v is not None for v in columns[name])
        }
        blended = [
            replace(
                score,
                value=float(sum(part[i] for part in parts.values())),
                parts={name: float(part[i]) for name, part in parts.items()},
            )
            for i, score in enumerate(scored.scores)
        ]
        return replace(scored, scores=blended, kind=ScoreKind.RANK)


def weights_for(reranker: BaseReranker) -> Mapping[str, float]:
    """Return the weights that were fitted for a model, or else the default ones."""
    fitted = reranker.base.blend_weights
    return DEFAULT_WEIGHTS if fitted is None else fitted


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of a blend, or raise `InputError` if they are not valid."""
    for name, weight in weights.items():
        if name not in DEFAULT_WEIGHTS:
            raise InputError(
                f"A blend has no score {name!r}", fix=nearest(name, DEFAULT_WEIGHTS)
            )
        if not math.isfinite(weight) or weight < 0:
            raise InputError(f"The weight of {name!r} must be 0 or more, not {weight!r}")
    if not any(weights.values()):
        raise InputError("At least one weight of a blend must be above 0")
    return dict(weights)


def standardize(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the values with mean 0 and standard deviation 1; missing ones are the lowest.

    Values that are all equal become 0. At least one value must be present.
    """
    lowest = min(v for v in values if v is not None)
    filled = np.array([lowest if v is None else v for v in values], dtype=np.float64)
    centered = filled - filled.mean()
    deviation = float(centered.std())
    if deviation < 1e-12:
        return np.zeros_like(centered)
    return np.asarray(centered / deviation)
