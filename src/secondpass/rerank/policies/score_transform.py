"""The base class of policies that change the scores of the wrapped reranker."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from secondpass.rerank.base import Score, Scored
from secondpass.rerank.policies.blend import standardize
from secondpass.rerank.policies.wrapper import RerankerWrapper
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


def add_to_scores(scored: Scored, name: str, values: Sequence[float]) -> Scored:
    """Return standardized scores with a value added to each; `parts` has both.

    Rerankers have different scales, so the scores first get mean 0 and standard deviation 1
    over the candidates; the values are in standard deviations. Candidates that were not scored
    stay so.
    """
    standardized = standardize([s.value if s.scored else None for s in scored.scores])
    changed: list[Score] = []
    for score, own, addend in zip(scored.scores, standardized.tolist(), values, strict=True):
        parts: Mapping[str, float] = {"rerank": own, name: addend}
        changed.append(replace(score, value=own + addend, parts=parts))
    lowest = min((s.value for s in changed if s.scored), default=0.0)
    changed = [s if s.scored else replace(s, value=lowest) for s in changed]
    return replace(scored, scores=changed, kind=ScoreKind.RANK)
