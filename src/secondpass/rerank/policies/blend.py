"""A weighted sum of the reranker's score and the first stage's scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.option_values import BLENDED
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import RerankerWrapper, join_reasons
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, Document, ScoreKind, Status

DEFAULT_WEIGHTS: Mapping[str, float] = {"rerank": 1.0, "vector": 0.2, "bm25": 0.3}
"""See docs/explanation/scores.md for how these were chosen."""
MANY_RELEVANT = 20
"""With so many candidates expected to be relevant, neighbors have half of their weight."""

_NO_CHANCE = 1e-6
_EQUAL = 1e-9

VectorLookup = Callable[[Sequence[Document]], Mapping[str, NDArray[np.float32]]]
"""Returns the vectors that are stored of some passages, by key."""


class Blend(RerankerWrapper):
    """Orders by a weighted sum of standardized scores: the reranker's, cosine and BM25.

    - `weights`: by "rerank", "vector", "bm25" and "neighbors"; finite, 0 or more, not all 0;
      those not named are 0. None means the weights that were fitted for the model, or
      `DEFAULT_WEIGHTS`.
    - `vectors`: looks up the vectors that "neighbors" compares; a search over an index gives
      it. Without it, or without probabilities, "neighbors" is left out and said in `reason`.

    Each score is standardized over the candidates of one query (mean 0, standard deviation 1),
    so the sum orders one response and means nothing across responses (`ScoreKind.RANK`);
    `probability` stays the reranker's own. A candidate without one of the scores counts as the
    lowest of it. A score that no candidate has is left out; with none but the reranker's,
    these are passed through. Raises `InputError` for other weights.

    "neighbors" is `neighbor_scores`, with its weight multiplied by m / (m + 20), where m is the
    sum of the probabilities: it counts where many candidates seem relevant, and hardly where
    one is the answer. After Diaz, Regularizing ad hoc retrieval scores, CIKM 2005.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        weights: Mapping[str, float] | None = None,
        *,
        vectors: VectorLookup | None = None,
    ) -> None:
        super().__init__(reranker)
        self.weights = check_weights(weights_for(reranker) if weights is None else weights)
        self.vectors = vectors

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then blend in the first stage's scores."""
        scored = self.reranker.score(query, candidates, options)
        if scored.status is Status.FALLBACK:
            # These scores are the first stage's order, which blending with its parts changes.
            return scored
        columns: dict[str, list[float | None]] = {
            # The weights were fitted for scores that no calibration has changed.
            "rerank": [s.value if s.raw is None else s.raw for s in scored.scores],
            "vector": [c.vector for c in candidates],
            "bm25": [c.bm25 for c in candidates],
        }
        parts = {
            name: self.weights[name] * standardize(values)
            for name, values in columns.items()
            if self.weights.get(name, 0) and any(v is not None for v in values)
        }
        reason = scored.reason
        if self.weights.get("neighbors", 0):
            part, note = self._neighbors(candidates, scored)
            reason = join_reasons([reason, note])
            if part is not None:
                parts["neighbors"] = part
        if not parts.keys() - {"rerank"}:
            return replace(scored, reason=reason)
        blended = [
            replace(
                score,
                value=float(sum(part[i] for part in parts.values())),
                parts={name: float(part[i]) for name, part in parts.items()},
            )
            for i, score in enumerate(scored.scores)
        ]
        return replace(scored, scores=blended, kind=ScoreKind.RANK, reason=reason)

    def _neighbors(
        self, candidates: Sequence[Candidate], scored: Scored
    ) -> tuple[NDArray[np.float64] | None, str | None]:
        """Return what neighbors add to each score, or None and why they are left out."""
        probabilities = [s.probability if s.scored else None for s in scored.scores]
        if all(p is None for p in probabilities):
            return None, "neighbors were left out: the reranker gives no probabilities"
        documents = [c.document for c in candidates]
        stored = {} if self.vectors is None else self.vectors(documents)
        if not stored:
            return None, "neighbors were left out: there are no vectors of the candidates"
        part = neighbor_part([stored.get(d.key) for d in documents], probabilities)
        return self.weights["neighbors"] * part, None


def neighbor_part(
    vectors: Sequence[NDArray[np.float32] | None], probabilities: Sequence[float | None]
) -> NDArray[np.float64]:
    """Return what "neighbors" adds to the score of each candidate for a weight of 1.

    It is `neighbor_scores`, standardized, times m / (m + 20), where m is the sum of the
    probabilities. At least one candidate must have a vector.
    """
    relevant = sum(p for p in probabilities if p is not None)
    scores = neighbor_scores(vectors, probabilities)
    known = [score for score in scores if score is not None]
    if max(known) - min(known) < _EQUAL:
        # Differences of rounding would be standardized to a deviation of 1.
        return np.zeros(len(scores))
    return relevant / (relevant + MANY_RELEVANT) * standardize(scores)


def neighbor_scores(
    vectors: Sequence[NDArray[np.float32] | None], probabilities: Sequence[float | None]
) -> list[float | None]:
    """Return how near each candidate is to the others that seem relevant, -1 to 1.

    It is the mean cosine to the other candidates, each weighted by its probability of
    relevance; one without a probability does not count. It is 0 where the others have no chance
    (less than 1e-6 in sum), and None for a candidate without a vector. At least one must have
    a vector.
    """
    length = next(len(v) for v in vectors if v is not None)
    known = np.array([v is not None for v in vectors])
    rows = np.stack([np.zeros(length) if v is None else v for v in vectors]).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(norms > 0, norms, 1.0)
    weights = np.where(known, [0.0 if p is None else p for p in probabilities], 0.0)
    own = weights * (rows * rows).sum(axis=1)
    totals = weights.sum() - weights
    sums = rows @ (weights @ rows) - own
    means = np.where(totals > _NO_CHANCE, sums / np.maximum(totals, _NO_CHANCE), 0.0)
    return [
        float(mean) if has_vector else None
        for mean, has_vector in zip(means, known, strict=True)
    ]


def weights_for(reranker: BaseReranker) -> Mapping[str, float]:
    """Return the weights that were fitted for a model, or else the default ones."""
    fitted = reranker.base.blend_weights
    return DEFAULT_WEIGHTS if fitted is None else fitted


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of a blend, or raise `InputError` if they are not valid."""
    for name, weight in weights.items():
        if name not in BLENDED:
            raise InputError(f"A blend has no score {name!r}", fix=nearest(name, BLENDED))
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
