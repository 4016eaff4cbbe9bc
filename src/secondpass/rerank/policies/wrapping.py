"""What policies share that wrap one reranker and change its scores."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.policies.blend import standardise
from secondpass.rerank.reading import Reading
from secondpass.types import Candidate, ScoreKind

if TYPE_CHECKING:
    from secondpass.rerank.reader.store import StateStore


class Wrapping(BaseReranker):
    """A reranker over another; a subclass says what becomes of the scores."""

    def __init__(self, reranker: BaseReranker) -> None:
        self.reranker = reranker

    @property
    def model(self) -> str:
        """The name of the wrapped reranker's model."""
        return self.reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend at the bottom of the wrapped reranker."""
        return self.reranker.base

    def with_states(self, store: StateStore) -> Self:
        """Return this policy with the store handed on."""
        twin = copy.copy(self)
        twin.reranker = self.reranker.with_states(store)
        return twin

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
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
