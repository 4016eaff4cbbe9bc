"""A combination of several rerankers over the same candidates."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.blend import standardize
from secondpass.rerank.policies.wrapper import join_reasons, total_cost
from secondpass.rerank.score import Score, Scored, SpanSource
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.types import Candidate, ScoreKind, Status

Column = NDArray[np.float64]

RRF_K = 60
"""The constant of Cormack, Clarke and Büttcher, SIGIR 2009."""


class Ensemble(BaseReranker):
    """Scores with several rerankers and adds up their scores.

    - `method`: how scores are made comparable. "rrf": reciprocal rank fusion, weight / (60 +
      rank); equal scores share their best rank. "weighted": scaled over the candidates so that
      the lowest is 0 and the highest 1; all are 1 where they are equal. "z-score": mean 0 and
      standard deviation 1 over the candidates.
    - `weights`: one for each reranker, finite, 0 or more, not all 0; 1 each by default.

    A candidate that one of them did not score counts as the lowest of it. The sum orders one
    response only (`ScoreKind.RANK`) and has no probability. `parts` has what each member adds,
    by its number and model. All run at the same time; an error of one is raised. Raises
    `InputError` for an empty list, an unknown method and other weights.
    """

    def __init__(
        self,
        rerankers: Sequence[BaseReranker],
        *,
        method: str = "rrf",
        weights: Sequence[float] | None = None,
    ) -> None:
        if not rerankers:
            raise InputError("An ensemble needs at least one reranker")
        if method not in METHODS:
            raise InputError(f"Unknown method {method!r}", fix=nearest(str(method), METHODS))
        numbers = [1.0] * len(rerankers) if weights is None else [float(w) for w in weights]
        valid = len(numbers) == len(rerankers) and any(numbers)
        if not valid or not all(math.isfinite(w) and w >= 0 for w in numbers):
            raise InputError(
                f"The weights {numbers} are not valid for {len(rerankers)} rerankers",
                fix="Give one number of 0 or more for each, not all of them 0.",
            )
        self.rerankers, self.method, self.weights = tuple(rerankers), method, tuple(numbers)

    @property
    def model(self) -> str:
        """The names of the members, joined by " + "."""
        return " + ".join(r.model for r in self.rerankers)

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return those of all members."""
        return tuple(name for r in self.rerankers for name in r.models_without_instructions())

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> Ensemble:
        """Return a copy of this ensemble with the backends of all members replaced."""
        twin = copy.copy(self)
        twin.rerankers = tuple(r.map_base(function) for r in self.rerankers)
        return twin

    @property
    def spans_from(self) -> SpanSource | None:
        """Where the spans of the first member that gives some come from."""
        return next((r.spans_from for r in self.rerankers if r.spans_from is not None), None)

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Score sentences with the first member that can."""
        member = next(r for r in self.rerankers if r.spans_from is not None)
        return member.score_sentences(query, candidates, sentences, options)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with every member and add up."""
        with ThreadPoolExecutor(len(self.rerankers)) as pool:
            tasks = [pool.submit(r.score, query, candidates, options) for r in self.rerankers]
            members = [task.result() for task in tasks]
        columns = [
            weight * METHODS[self.method](_values(scored))
            for weight, scored in zip(self.weights, members, strict=True)
        ]
        total = np.sum(columns, axis=0)
        names = [f"{n}: {r.model}" for n, r in enumerate(self.rerankers, start=1)]
        scores = []
        for i in range(len(candidates)):
            member_scores = [scored.scores[i] for scored in members]
            parts = {name: float(c[i]) for name, c in zip(names, columns, strict=True)}
            scores.append(_combine(float(total[i]), member_scores, parts))
        complete = all(scored.status is Status.RERANKED for scored in members)
        return Scored(
            scores,
            ScoreKind.RANK,
            pairs=sum(scored.pairs for scored in members),
            tokens=sum(scored.tokens for scored in members),
            status=Status.RERANKED if complete else Status.PARTIALLY_RERANKED,
            reason=join_reasons(scored.reason for scored in members),
            requests=sum(scored.requests for scored in members),
            searches=sum(scored.searches for scored in members),
            cost=total_cost(members),
        )


def _values(scored: Scored) -> Column:
    lowest = min((s.value for s in scored.scores if s.scored), default=0.0)
    return np.array([s.value if s.scored else lowest for s in scored.scores], dtype=np.float64)


def _combine(value: float, member_scores: Sequence[Score], parts: Mapping[str, float]) -> Score:
    return replace(
        member_scores[0],
        value=value,
        probability=None,
        windows=max(s.windows for s in member_scores),
        # A character is unread only if no member read it.
        unread=min(s.unread for s in member_scores),
        parts=parts,
        scored=any(s.scored for s in member_scores),
    )


def reciprocal_ranks(values: Column) -> Column:
    """Return 1 / (60 + rank) of each value; equal values share their best rank."""
    falling = np.sort(values)[::-1]
    ranks = 1 + np.searchsorted(-falling, -values, side="left")
    return np.asarray(1.0 / (RRF_K + ranks), dtype=np.float64)


def min_max(values: Column) -> Column:
    """Return the values scaled to 0 to 1; 1 for all where all are equal."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.ones_like(values)
    # Halved before subtracting, so that huge scores of both signs do not overflow.
    return np.asarray((values / 2 - low / 2) / (high / 2 - low / 2))


METHODS: Mapping[str, Callable[[Column], Column]] = {
    "rrf": reciprocal_ranks,
    "weighted": min_max,
    "z-score": lambda values: standardize(values.tolist()),
}
"""How scores are made comparable, by name."""
