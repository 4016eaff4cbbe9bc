"""What policies share that score a list in parts, or only a part of it.

What all policies share that wrap one reranker.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.types import Candidate, ScoreKind, Status

if TYPE_CHECKING:
    from secondpass.rerank.precomputed.store import StateStore


# From what says least about an order to what says most.
_GRAVITY = (Status.RERANKED, Status.PARTIALLY_RERANKED, Status.FALLBACK, Status.SKIPPED)


def best_first(candidates: Sequence[Candidate]) -> list[int]:
    """Return the positions of the candidates by their first-stage rank."""
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]
    return sorted(range(len(candidates)), key=lambda i: (ranks[i], i))


def merge(
    found: Mapping[int, Score],
    count: int,
    *,
    last: Sequence[Scored],
    before: Sequence[Scored] = (),
    reason: str | None = None,
) -> Scored:
    """Return the scores of all `count` candidates, those by position in `found` as they are.

    The others, and those in it with `scored=False`, count as the lowest score there is; if
    there are any, the status is at least "partially_reranked", and `reason` is told.
    `last` are the parts that `found` is made of, at least one; `before` what else was
    asked on the way, whose reasons and costs count too.
    """
    values = [s.value for s in found.values() if s.scored]
    missing = Score(min(values, default=0.0), windows=0, scored=False)
    scores = [s if (s := found.get(i, missing)).scored else missing for i in range(count)]
    parts = [*before, *last]
    status = max((part.status for part in last), key=_GRAVITY.index)
    reasons = [part.reason for part in parts]
    if not all(s.scored for s in scores):
        status = max(status, Status.PARTIALLY_RERANKED, key=_GRAVITY.index)
        reasons.append(reason)
    return Scored(
        scores,
        last[0].kind,
        pairs=sum(part.pairs for part in parts),
        tokens=sum(part.tokens for part in parts),
        status=status,
        reason=join(reasons),
        model=last[0].model,
        threshold=all(part.threshold for part in last),
        requests=sum(part.requests for part in parts),
        searches=sum(part.searches for part in parts),
        cost=_cost(parts),
    )


def _cost(parts: Sequence[Scored]) -> float | None:
    """Return what the parts cost that were asked for elsewhere, None if one has no price."""
    costs = [part.cost for part in parts if part.requests]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def join(reasons: Iterable[str | None]) -> str | None:
    """Return the distinct reasons that there are in one text, or None."""
    return "; ".join(dict.fromkeys(r for r in reasons if r is not None)) or None


def check_pairwise(policy: str, scored: Scored, fix: str) -> None:
    """Raise `InputError` for scores that mean something within one list only."""
    if scored.kind is ScoreKind.RANK:
        raise InputError(
            f"{policy} cannot score a list in parts",
            why="the reranker inside gives scores that mean something within one list only",
            fix=fix,
        )


class RerankerWrapper(BaseReranker):
    """A reranker over another; a subclass says how candidates are scored with it."""

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
        """Return this policy with the store handed on; all else is shared."""
        twin = copy.copy(self)
        twin.reranker = self.reranker.with_states(store)
        return twin
