"""Several rerankers over the same candidates, as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.policies.blend import standardise
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind, Status

Column = NDArray[np.float64]

RRF_K = 60
"""The constant of Cormack, Clarke and Büttcher, SIGIR 2009."""


class Ensemble(BaseReranker):
    """Orders by the scores of several rerankers put together.

    - "rrf": the sum of weight / (60 + rank); equal scores share the best of their ranks.
    - "weighted": the weighted sum of scores scaled so that the lowest is 0 and the highest
      1; where all are equal they are 1.
    - "z-score": the weighted sum of scores with mean 0 and deviation 1.

    What one of them has not scored counts as its lowest. The sum orders one response
    (`ScoreKind.RANK`), and there is no probability: the members need not agree on one.
    `parts` has what each member adds, by its place and model. All run at the same time, and
    a member that raises makes the ensemble raise. Raises `InputError` for fewer than one
    reranker, an unknown method, and weights that are negative, not finite or all zero.
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
        given = [1.0] * len(rerankers) if weights is None else [float(w) for w in weights]
        usable = len(given) == len(rerankers) and all(
            math.isfinite(w) and w >= 0 for w in given
        )
        if not usable or not any(given):
            raise InputError(
                f"The weights {given} cannot be used for {len(rerankers)} rerankers",
                fix="Give one number from 0 up for each, not all of them 0.",
            )
        self.rerankers, self.method, self.weights = tuple(rerankers), method, tuple(given)

    @property
    def model(self) -> str:
        """The names of the members, joined by " + "."""
        return " + ".join(r.model for r in self.rerankers)

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score with every member and add up."""
        with ThreadPoolExecutor(len(self.rerankers)) as pool:
            tasks = [pool.submit(r.score, query, candidates, reading) for r in self.rerankers]
            found = [task.result() for task in tasks]
        columns = [
            weight * METHODS[self.method](_values(one))
            for weight, one in zip(self.weights, found, strict=True)
        ]
        total = np.sum(columns, axis=0)
        names = [f"{n}: {r.model}" for n, r in enumerate(self.rerankers, start=1)]
        scores = []
        for i in range(len(candidates)):
            read = [one.scores[i] for one in found]
            parts = {name: float(c[i]) for name, c in zip(names, columns, strict=True)}
            scores.append(_joined(float(total[i]), read, parts))
        whole = all(one.status is Status.RERANKED for one in found)
        reasons = dict.fromkeys(one.reason for one in found if one.reason is not None)
        return Scored(
            scores,
            ScoreKind.RANK,
            pairs=sum(one.pairs for one in found),
            tokens=sum(one.tokens for one in found),
            status=Status.RERANKED if whole else Status.PARTIALLY_RERANKED,
            reason="; ".join(reasons) or None,
        )


def _values(scored: Scored) -> Column:
    values = [s.value for s in scored.scores]
    lowest = min((s.value for s in scored.scores if s.scored), default=0.0)
    given = [v if s.scored else lowest for v, s in zip(values, scored.scores, strict=True)]
    return np.array(given, dtype=np.float64)


def _joined(value: float, read: Sequence[Score], parts: Mapping[str, float]) -> Score:
    return replace(
        read[0],
        value=value,
        probability=None,
        windows=max(s.windows for s in read),
        # What one of them has read has been read.
        unread=min(s.unread for s in read),
        parts=parts,
        scored=any(s.scored for s in read),
    )


def reciprocal_ranks(values: Column) -> Column:
    """Return 1 / (60 + rank) of each value; equal values share the best of their ranks."""
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
    "z-score": lambda values: standardise(values.tolist()),
}
"""How scores are made comparable, by name."""
