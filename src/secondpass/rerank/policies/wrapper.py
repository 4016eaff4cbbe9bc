"""The base class of policies, and the merging of scores of parts of a list."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.score import Score, Scored
from secondpass.types import Candidate, ScoreKind, Status

# From a complete result to no result: the status of a whole is the last of its parts'.
_STATUS_ORDER = (Status.RERANKED, Status.PARTIALLY_RERANKED, Status.FALLBACK, Status.SKIPPED)


def best_first(candidates: Sequence[Candidate]) -> list[int]:
    """Return the positions of the candidates by their first-stage rank."""
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]
    return sorted(range(len(candidates)), key=lambda i: (ranks[i], i))


def merge_scores(
    scores_by_position: Mapping[int, Score],
    count: int,
    *,
    parts: Sequence[Scored],
    other_calls: Sequence[Scored] = (),
    reason: str | None = None,
    same_query: bool = True,
) -> Scored:
    """Return the scores of all `count` candidates, from the scores of some of them.

    The others, and those with `scored=False`, have the lowest score there is; if there are any,
    the status is at least "partially_reranked", and `reason` is added. `parts` are the calls
    that gave the scores, at least one; `other_calls` were made on the way, and their reasons
    and costs count too. With `same_query` the parts are of one query and one model, which read
    the query once: its tokens count once.
    """
    values = [s.value for s in scores_by_position.values() if s.scored]
    missing = Score(min(values, default=0.0), windows=0, scored=False)
    scores = [
        s if (s := scores_by_position.get(i, missing)).scored else missing for i in range(count)
    ]
    calls = [*other_calls, *parts]
    status = max((part.status for part in parts), key=_STATUS_ORDER.index)
    reasons = [call.reason for call in calls]
    if not all(s.scored for s in scores):
        status = max(status, Status.PARTIALLY_RERANKED, key=_STATUS_ORDER.index)
        reasons.append(reason)
    shares = [part.query_tokens for part in parts]
    query_tokens = max(shares) if same_query else sum(shares)
    return Scored(
        scores,
        parts[0].kind,
        pairs=sum(call.pairs for call in calls),
        tokens=sum(call.tokens for call in calls) - sum(shares) + query_tokens,
        status=status,
        reason=join_reasons(reasons),
        model=parts[0].model,
        thresholds_apply=all(part.thresholds_apply for part in parts),
        requests=sum(call.requests for call in calls),
        searches=sum(call.searches for call in calls),
        cost=total_cost(calls),
        query_tokens=query_tokens,
    )


def total_cost(calls: Sequence[Scored]) -> float | None:
    """Return the cost of the calls to hosted models, None if the price of one is not known."""
    costs = [call.cost for call in calls if call.requests]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def join_reasons(reasons: Iterable[str | None]) -> str | None:
    """Return the distinct reasons in one text, or None where there are none."""
    return "; ".join(dict.fromkeys(r for r in reasons if r is not None)) or None


def require_pairwise_scores(policy: str, scored: Scored, fix: str) -> None:
    """Raise `InputError` for scores that only order one list (`ScoreKind.RANK`)."""
    if scored.kind is ScoreKind.RANK:
        raise InputError(
            f"{policy} cannot score a list in parts",
            why="the wrapped reranker gives scores that order one list only",
            fix=fix,
        )


class RerankerWrapper(BaseReranker):
    """A policy around one reranker; a subclass says how candidates are scored with it."""

    def __init__(self, reranker: BaseReranker) -> None:
        self.reranker = reranker

    @property
    def model(self) -> str:
        """The name of the wrapped reranker's model."""
        return self.reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend inside of the wrapped reranker."""
        return self.reranker.base

    @property
    def span_reranker(self) -> BaseReranker:
        """The wrapped reranker."""
        return self.reranker

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return those of the wrapped reranker."""
        return self.reranker.models_without_instructions()

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> BaseReranker:
        """Return a copy of this policy with the backends inside replaced."""
        twin = copy.copy(self)
        twin.reranker = self.reranker.map_base(function)
        return twin
