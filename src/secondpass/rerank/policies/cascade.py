"""A cheap reranker for all, an expensive one for those that can still reach the top.

How far below the best a cheap score may be before its candidate is ruled out.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.wrapper import merge
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind

if TYPE_CHECKING:
    from secondpass.rerank.precomputed.store import StateStore


KNOWN = Path(__file__).with_name("margins.json")
"""The margins that come with the package, by the identities of both models.

Written by scripts/fit_cascade.py; docs/explanation/budgets.md says on what."""


@dataclass(frozen=True, slots=True)
class Margin:
    """A candidate whose cheap score is over `value` below the `k`-th best is ruled out.

    - `value`: on the cheap reranker's own scale, 0 or more; `k`: at least 1.
    - What it holds to for queries drawn as the `queries` were that it was fitted on:
      `confidence`, at least this share of them keep all of the full reranker's top `k`; or
      `lost`, of its top `k` at most this share is ruled out on average. Both None and
      `queries` 0 for a margin that somebody chose.
    """

    value: float
    k: int = 10
    confidence: float | None = None
    queries: int = 0
    lost: float | None = None

    def __post_init__(self) -> None:
        require_count("k", self.k)
        if not self.value >= 0:
            raise InputError(f"A margin must be 0 or more, not {self.value!r}")


def fit_margin(
    cheap: Sequence[Sequence[float]],
    full: Sequence[Sequence[float]],
    *,
    k: int = 10,
    confidence: float | None = None,
    lost: float | None = None,
) -> Margin:
    """Return the smallest margin that keeps the full top `k` as well as is asked for.

    - `cheap`, `full`: for each query the scores of the same candidates in the same order,
      by the cheap and by the full reranker.
    - `confidence`: the share of queries that keep all of it, above 0 and below 1; .95 where
      neither is given.
    - `lost`: instead, the share of it that may be ruled out on average, above 0 and below 1.

    Each candidate of the full top k (ties there go to the earlier one) needs some margin:
    from the query's k-th best cheap score down to its own. By `confidence`, a query needs
    the largest of them, and of those of n queries the ceil((n + 1) · confidence)-th
    smallest is returned, the quantile of split conformal prediction (Vovk et al., 2005): a
    further query drawn like these needs no more with a chance of at least `confidence`. By
    `lost`, it is the smallest with (n · loss + 1) / (n + 1) at most `lost`, where loss is
    the mean share that these queries lose: a further one loses no more in expectation
    (conformal risk control, Angelopoulos et al., ICLR 2024,
    https://arxiv.org/abs/2208.02814).

    Raises `InputError` for lists that do not match, numbers that are not finite, both
    `confidence` and `lost`, and too few queries.
    """
    k = require_count("k", k)
    if confidence is not None and lost is not None:
        raise InputError(
            "A margin is fitted to a confidence or to what may be lost, not to both"
        )
    if lost is None and confidence is None:
        confidence = 0.95
    for name, share in (("confidence", confidence), ("lost", lost)):
        if share is not None and not 0 < share < 1:
            raise InputError(f"{name} must be between 0 and 1, not {share!r}")
    if len(cheap) != len(full):
        raise InputError(f"There are {len(cheap)} lists of cheap scores and {len(full)} full")
    needed = [_needed(q, *pair, k) for q, pair in enumerate(zip(cheap, full, strict=True))]
    if lost is not None:
        value, least = _losing(needed, lost), math.ceil(1 / _exactly(lost)) - 1
    else:
        assert confidence is not None
        value, least = conformal([max(one) for one in needed], confidence), fewest(confidence)
    if value is None:
        asked = f"a confidence of {confidence}" if lost is None else f"a loss of {lost}"
        raise InputError(
            f"{len(needed)} queries are too few for {asked}",
            fix=f"Give at least {least}, or ask for {'less' if lost is None else 'more'}.",
        )
    return Margin(value, k, confidence, len(needed), lost)


def conformal(needed: Sequence[float], confidence: float) -> float | None:
    """Return the ceil((n + 1) · confidence)-th smallest of n numbers, None if there is none.

    A further number drawn like these is no larger with at least that probability (split
    conformal prediction, Vovk et al., 2005).
    """
    place = math.ceil((len(needed) + 1) * _exactly(confidence))
    return sorted(needed)[place - 1] if place <= len(needed) else None


def fewest(confidence: float) -> int:
    """Return the least n for which `conformal` finds a number; `confidence` is below 1."""
    share = _exactly(confidence)
    return math.ceil(share / (1 - share))


def _exactly(share: float) -> Fraction:
    """Return it as written in decimals, so that 19 queries are enough for 0.95."""
    return Fraction(repr(float(share)))


def _losing(needed: Sequence[Sequence[float]], lost: float) -> float | None:
    """Return the smallest margin that conformal risk control allows, None if there is none."""
    room = _exactly(lost) * (len(needed) + 1) - 1
    if room < 0:
        return None
    # What each margin, from the largest down, would lose if it were not met.
    shares = sorted(((m, Fraction(1, len(one))) for one in needed for m in one), reverse=True)
    for margin, share in shares:
        room -= share
        if room < 0:
            return margin
    return 0.0


def survivors(scores: Sequence[float | None], margin: Margin) -> list[int]:
    """Return the positions that a margin does not rule out, best cheap score first.

    Those without a score are never ruled out; they come last, in their order.
    """
    known = {i: s for i, s in enumerate(scores) if s is not None}
    line = _kth([*known.values()], margin.k)
    order = sorted(known, key=lambda i: (-known[i], i))
    kept = [i for i in order if line - known[i] <= margin.value]
    return [*kept, *(i for i, s in enumerate(scores) if s is None)]


def known_margin(cheap: BaseReranker, full: BaseReranker) -> Margin:
    """Return the margin that comes with the package for two models.

    Raises `InputError` where none was fitted for exactly these two.
    """
    wanted = (cheap.base.identity, full.base.identity)
    for row in _rows():
        if (row["cheap"]["identity"], row["full"]["identity"]) == wanted:
            return Margin(
                row["margin"], row["k"], row["confidence"], row["queries"], row["lost"]
            )
    raise InputError(
        f"No margin is known for a cascade of {cheap.model!r} and {full.model!r}",
        why="one was fitted for other models, or for other versions of them",
        fix="Fit one with secondpass.rerank.policies.cascade.fit_margin and pass margin=….",
    )


@cache
def _rows() -> list[dict[str, Any]]:
    if not KNOWN.is_file():
        return []
    rows: list[dict[str, Any]] = json.loads(KNOWN.read_text("utf-8"))
    return rows


def _needed(query: int, cheap: Sequence[float], full: Sequence[float], k: int) -> list[float]:
    """Return the margin that each of the full top `k` needs, 0 or more."""
    if len(cheap) != len(full) or not cheap:
        raise InputError(
            f"Query {query} has {len(cheap)} cheap scores and {len(full)} full ones",
            why="there must be one of each for every candidate, and at least one",
        )
    if not all(map(math.isfinite, [*cheap, *full])):
        raise InputError(f"Query {query} has a score that is not finite")
    top = sorted(range(len(full)), key=lambda i: -full[i])[:k]
    line = _kth(cheap, k)
    return [max(0.0, line - cheap[i]) for i in top]


def _kth(scores: Sequence[float], k: int) -> float:
    """Return the k-th best score, the lowest where there are fewer."""
    return sorted(scores, reverse=True)[:k][-1] if scores else 0.0


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

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
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
