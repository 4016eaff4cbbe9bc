"""A cheap reranker for all, an expensive one for those that can still reach the top."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.margin import Margin, known_margin, survivors
from secondpass.rerank.policies.wrapper import merge
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate, ScoreKind

if TYPE_CHECKING:
    from secondpass.rerank.precomputed.store import StateStore


class Cascade(BaseReranker):
    """Scores all candidates by `cheap`, and by `full` those that can still reach the top.

    A candidate is ruled out if its cheap score is over `margin.value` below the
    `margin.k`-th best one (see `fit_margin`). The results have the scores of `full` alone;
    what was ruled out was not scored, and the status is "partially_reranked". With
    `margin.k` candidates or fewer, or where the caller asks for more results than that,
    `full` scores all and `cheap` none.

    `margin` None takes the one that comes with the package for these models. Raises
    `InputError` where there is none, and for a `cheap` reranker whose scores depend on the
    whole list (`ScoreKind.RANK`).
    """

    def __init__(
        self, cheap: BaseReranker, full: BaseReranker, margin: Margin | None = None
    ) -> None:
        self.cheap = cheap
        self.full = full
        self.margin = known_margin(cheap, full) if margin is None else margin

    @property
    def model(self) -> str:
        """The name of the full reranker's model."""
        return self.full.model

    @property
    def base(self) -> BaseReranker:
        """The backend at the bottom of the full reranker."""
        return self.full.base

    def with_states(self, store: StateStore) -> Cascade:
        """Return this cascade with the store handed on to both."""
        twin = copy.copy(self)
        twin.cheap = self.cheap.with_states(store)
        twin.full = self.full.with_states(store)
        return twin

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score with the cheap reranker, then those that are left with the full one."""
        k, count = self.margin.k, len(candidates)
        if count <= k or (reading.top_k is not None and reading.top_k > k):
            return self.full.score(query, candidates, reading)
        first = self.cheap.score(query, candidates, reading)
        if first.kind is ScoreKind.RANK:
            raise InputError(
                f"A cascade cannot begin with {self.cheap.model!r}",
                why="its scores mean something within one list only, so no margin holds",
                fix="Wrap the cascade: Blend(Cascade(cheap, full)).",
            )
        values = [s.value if s.scored else None for s in first.scores]
        kept = survivors(values, self.margin)
        # The cheap reranker is the first stage of the full one: a budget takes its best.
        left = [replace(candidates[i], rank=n) for n, i in enumerate(kept, start=1)]
        second = self.full.score(query, left, reading)
        found = dict(zip(kept, second.scores, strict=True))
        told = f"{len(kept)} of {count} candidates could still reach the top {k}"
        return merge(
            found,
            count,
            last=[second],
            before=[first],
            reason=told if len(kept) < count else None,
        )
