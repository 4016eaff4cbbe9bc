"""Keep what the first stage knew: blend its scores with the reranker's."""

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

DEFAULT_WEIGHTS: Mapping[str, float] = {"rerank": 1.0, "vector": 0.4, "bm25": 0.6}
"""See docs/explanation/scores.md for how these were chosen."""


class Blend(RerankerWrapper):
    """Orders by a weighted sum of standardised scores: the reranker's, cosine and BM25.

    Each score is standardised over the candidates of one query (mean 0, deviation 1), so
    the sum orders one response and means nothing across responses (`ScoreKind.RANK`);
    `probability` stays the reranker's own. A candidate without a score of a kind counts
    as the lowest of that kind, and one that a policy left unscored by the score that it was
    given instead, which is never above the lowest; a kind that no candidate has is left out,
    and with none of the first stage's the reranker's scores are passed through unchanged.

    `weights` are finite, not negative, and not all zero; kinds not named weigh nothing.
    Without them those count that were fitted for the model, or else `DEFAULT_WEIGHTS`.
    """

    def __init__(
        self, reranker: BaseReranker, weights: Mapping[str, float] | None = None
    ) -> None:
        if weights is None:
            fitted = reranker.base.blend_weights
            weights = DEFAULT_WEIGHTS if fitted is None else fitted
        super().__init__(reranker)
        self.weights = check_weights(weights)

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then blend in the first stage's scores."""
        scored = self.reranker.score(query, candidates, reading)
        if scored.status is Status.FALLBACK:
            # The first stage's order is the answer; to blend it with its own parts is another.
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
        # Bent scores would weigh otherwise than those that the weights were fitted for.
        columns["rerank"] = [s.value if s.raw is None else s.raw for s in scored.scores]
        parts = {
            name: self.weights[name] * standardise(columns[name])
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


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of a blend, or raise `InputError` for some that make no sense."""
    for name, weight in weights.items():
        if name not in DEFAULT_WEIGHTS:
            raise InputError(
                f"There is no score {name!r} to blend", fix=nearest(name, DEFAULT_WEIGHTS)
            )
        if not math.isfinite(weight) or weight < 0:
            raise InputError(f"The weight of {name!r} must be 0 or more, not {weight!r}")
    if not any(weights.values()):
        raise InputError("At least one weight of a blend must be above 0")
    return dict(weights)


def standardise(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the values with mean 0 and deviation 1; missing ones count as the lowest.

    Values that are all equal become 0. At least one value must be present.
    """
    lowest = min(v for v in values if v is not None)
    filled = np.array([lowest if v is None else v for v in values], dtype=np.float64)
    centred = filled - filled.mean()
    deviation = float(centred.std())
    if deviation < 1e-12:
        return np.zeros_like(centred)
    return np.asarray(centred / deviation)
