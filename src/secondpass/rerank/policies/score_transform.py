"""The base class of policies that change the scores of the wrapped reranker."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from secondpass.rerank.policies.blend import standardize
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind


class ScoreTransform(RerankerWrapper):
    """A policy that changes scores; a subclass says how, in `_transform`."""

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then change the scores."""
        return self._transform(candidates, self.reranker.score(query, candidates, options))

    @abstractmethod
    def _transform(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        """Return the changed scores."""


def add_to_scores(scored: Scored, added: Mapping[str, Sequence[float]]) -> Scored:
    """Return scores in standard deviations with values added by name; `parts` adds up to each.

    Rerankers have different scales, so the scores are first divided by their standard
    deviation over the candidates. The parts of a score, such as those of a blend, are divided
    with it; a score without parts is also centered at 0 and becomes the part "rerank".
    Candidates that were not scored stay so: without parts they have the lowest score, which
    nothing is added to, unless none was scored.
    """
    scores = scored.scores
    whole = all(s.parts for s in scores)
    keeps = whole or not any(s.scored for s in scores)
    values = [s.value if keeps or s.scored else None for s in scores]
    own = standardize(values).tolist()
    deviation = float(np.std([v for v in values if v is not None])) if whole else 1.0
    scale = 1.0 if deviation < 1e-12 else deviation
    changed: list[Score] = []
    for i, score in enumerate(scores):
        before = (
            {name: value / scale for name, value in score.parts.items()}
            if whole
            else {"rerank": own[i]}
        )
        parts = {**before}
        for name, column in added.items():
            parts[name] = parts.get(name, 0.0) + column[i]
        changed.append(replace(score, value=math.fsum(parts.values()), parts=parts))
    if not keeps:
        lowest = min((s.value for s in changed if s.scored), default=0.0)
        changed = [s if s.scored else replace(s, value=lowest, parts={}) for s in changed]
    return replace(scored, scores=changed, kind=ScoreKind.RANK)
