"""What policies share that change the scores of the reranker they wrap."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from secondpass.rerank.base import Score, Scored
from secondpass.rerank.policies.blend import standardise
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind


class ScoreTransform(RerankerWrapper):
    """A reranker over another; a subclass says what becomes of the scores."""

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then change the scores."""
        return self._changed(candidates, self.reranker.score(query, candidates, reading))

    @abstractmethod
    def _changed(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        """Return the scores as this policy wants them."""


def added(scored: Scored, name: str, values: Sequence[float]) -> Scored:
    """Return standardised scores with a value added to each; `parts` has both.

    Scores of different rerankers have different scales, so they get mean 0 and deviation 1
    over the candidates first and an addition counts in deviations. What was not scored
    stays so.
    """
    plain = standardise([s.value if s.scored else None for s in scored.scores])
    changed: list[Score] = []
    for score, own, more in zip(scored.scores, plain.tolist(), values, strict=True):
        parts: Mapping[str, float] = {"rerank": own, name: more}
        changed.append(replace(score, value=own + more, parts=parts))
    lowest = min((s.value for s in changed if s.scored), default=0.0)
    changed = [s if s.scored else replace(s, value=lowest) for s in changed]
    return replace(scored, scores=changed, kind=ScoreKind.RANK)
