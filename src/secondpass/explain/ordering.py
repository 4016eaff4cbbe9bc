"""The order that known scores make, so that a change needs no second reading of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secondpass.explain.types import Places
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.blend import Blend
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate, RankedDocument

Weights = bool | Mapping[str, float]


class Known(BaseReranker):
    """Gives scores that were computed before, in the order of the candidates."""

    def __init__(self, reranker: BaseReranker, scored: Scored) -> None:
        self.reranker, self.scored = reranker, scored

    @property
    def model(self) -> str:
        """The name of the reranker that gave the scores."""
        return self.reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend that gave the scores."""
        return self.reranker.base

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Return the scores; there must be one for each candidate."""
        return self.scored


def order(
    query: str, candidates: Sequence[Candidate], known: Known, blend: Weights
) -> list[RankedDocument]:
    """Return the results, best first, as a search would show them."""
    weights = None if isinstance(blend, bool) else blend
    policy = known if blend is False else Blend(known, weights)
    return list(policy.rerank(query, candidates).results)


def places(
    candidates: Sequence[Candidate], scored: Scored, target: int, final: int, found: bool
) -> Places:
    """Return where the candidate at position `target` stands by each stage alone."""
    return Places(
        candidates=len(candidates),
        bm25=_place([c.bm25 for c in candidates], target),
        vector=_place([c.vector for c in candidates], target),
        first=candidates[target].rank if found else None,
        reranker=_place([s.value for s in scored.scores], target) or 1,
        final=final,
    )


def _place(values: Sequence[float | None], target: int) -> int | None:
    own = values[target]
    if own is None:
        return None
    return 1 + sum(v is not None and v > own for v in values)
