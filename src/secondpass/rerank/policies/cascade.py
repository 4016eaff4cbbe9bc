"""A cascade: a cheap reranker for all candidates, an expensive one for those near the top."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.wrapper import merge_scores
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind

MARGINS_FILE = Path(__file__).with_name("margins.json")
"""The margins that are bundled with the package, by the identities of both models.

Written by scripts/fit_cascade.py; docs/explanation/budgets.md says on what."""


@dataclass(frozen=True, slots=True)
class Margin:
    """Candidates whose cheap score is more than `value` below the `k`-th best are ruled out.

    - `value`: on the cheap reranker's own scale, 0 or more; `k`: at least 1.
    - `confidence`: at least this share of queries keep all of the full reranker's top `k`; or
      `lost`: at most this share of its top `k` is ruled out on average. Both hold for queries
      drawn like the `queries` that the margin was fitted on; both are None and `queries` is 0
      for a margin that was set by hand.
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
    """Return the smallest margin that keeps the full top `k` to the given degree.

    - `cheap`, `full`: for each query the scores of the same candidates in the same order, by
      the cheap and by the full reranker.
    - `confidence`: the share of queries that keep all of it, above 0 and below 1; 0.95 where
      neither is given.
    - `lost`: instead, the share of it that may be ruled out on average, above 0 and below 1.

    Each candidate of the full top k (ties there go to the earlier one) needs a margin: from
    the query's k-th best cheap score down to its own. By `confidence`, a query needs the
    largest of them, and of those of n queries the ceil((n + 1) · confidence)-th
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
        raise InputError("A margin is fitted to a confidence or to a loss, not to both")
    if lost is None and confidence is None:
        confidence = 0.95
    for name, share in (("confidence", confidence), ("lost", lost)):
        if share is not None and not 0 < share < 1:
            raise InputError(f"{name} must be between 0 and 1, not {share!r}")
    if len(cheap) != len(full):
        raise InputError(f"There are {len(cheap)} lists of cheap scores and {len(full)} full")
    needed = [
        _needed_margins(q, *pair, k) for q, pair in enumerate(zip(cheap, full, strict=True))
    ]
    if lost is not None:
        value, minimum = _risk_controlled(needed, lost), math.ceil(1 / _to_fraction(lost)) - 1
    else:
        assert confidence is not None
        value = conformal_quantile([max(margins) for margins in needed], confidence)
        minimum = min_queries(confidence)
    if value is None:
        target = f"a confidence of {confidence}" if lost is None else f"a loss of {lost}"
        other = "a lower confidence" if lost is None else "a higher loss"
        raise InputError(
            f"{len(needed)} queries are too few for {target}",
            fix=f"Give at least {minimum}, or {other}.",
        )
    return Margin(value, k, confidence, len(needed), lost)


def conformal_quantile(numbers: Sequence[float], confidence: float) -> float | None:
    """Return the ceil((n + 1) · confidence)-th smallest of n numbers, None if there is none.

    A further number drawn like these is no larger with at least that probability (split
    conformal prediction, Vovk et al., 2005).
    """
    rank = math.ceil((len(numbers) + 1) * _to_fraction(confidence))
    return sorted(numbers)[rank - 1] if rank <= len(numbers) else None


def min_queries(confidence: float) -> int:
    """Return the smallest n for which `conformal_quantile` has a result; `confidence` < 1."""
    share = _to_fraction(confidence)
    return math.ceil(share / (1 - share))


def _to_fraction(share: float) -> Fraction:
    """Return the exact decimal value, so that 19 queries are enough for 0.95."""
    return Fraction(repr(float(share)))


def _risk_controlled(needed: Sequence[Sequence[float]], lost: float) -> float | None:
    """Return the smallest margin that conformal risk control allows, None if there is none."""
    loss_left = _to_fraction(lost) * (len(needed) + 1) - 1
    if loss_left < 0:
        return None
    # The loss of each margin, from the largest down, if it were not met.
    losses = sorted(
        ((margin, Fraction(1, len(margins))) for margins in needed for margin in margins),
        reverse=True,
    )
    for margin, loss in losses:
        loss_left -= loss
        if loss_left < 0:
            return margin
    return 0.0


def survivors(scores: Sequence[float | None], margin: Margin) -> list[int]:
    """Return the positions that a margin does not rule out, best cheap score first.

    Those without a score are never ruled out; they come last, in their order.
    """
    scored = {i: s for i, s in enumerate(scores) if s is not None}
    kth_best = _kth_best([*scored.values()], margin.k)
    order = sorted(scored, key=lambda i: (-scored[i], i))
    # The difference is the expression that margins are fitted with, to the last bit.
    near_top = [i for i in order if kth_best - scored[i] <= margin.value]
    return [*near_top, *(i for i, s in enumerate(scores) if s is None)]


def bundled_margin(cheap: BaseReranker, full: BaseReranker) -> Margin:
    """Return the margin that is bundled with the package for two models.

    Raises `InputError` where none was fitted for exactly these two.
    """
    identities = (cheap.base.identity, full.base.identity)
    for row in _rows():
        if (row["cheap"]["identity"], row["full"]["identity"]) == identities:
            return Margin(
                row["margin"], row["k"], row["confidence"], row["queries"], row["lost"]
            )
    raise InputError(
        f"No margin is known for a cascade of {cheap.model!r} and {full.model!r}",
        why="those of the package are for other models, or other versions of them",
        fix="Fit one with secondpass.rerank.policies.cascade.fit_margin and pass margin=….",
    )


@cache
def _rows() -> list[dict[str, Any]]:
    if not MARGINS_FILE.is_file():
        return []
    rows: list[dict[str, Any]] = json.loads(MARGINS_FILE.read_text("utf-8"))
    return rows


def _needed_margins(
    query: int, cheap: Sequence[float], full: Sequence[float], k: int
) -> list[float]:
    """Return the margin that each of the full top `k` needs, 0 or more."""
    if len(cheap) != len(full) or not cheap:
        raise InputError(
            f"Query {query} has {len(cheap)} cheap scores and {len(full)} full ones",
            why="there must be one of each for every candidate, and at least one",
        )
    if not all(map(math.isfinite, [*cheap, *full])):
        raise InputError(f"Query {query} has a score that is not finite")
    top = sorted(range(len(full)), key=lambda i: -full[i])[:k]
    kth_best = _kth_best(cheap, k)
    return [max(0.0, kth_best - cheap[i]) for i in top]


def _kth_best(scores: Sequence[float], k: int) -> float:
    """Return the k-th best score, the lowest where there are fewer."""
    return sorted(scores, reverse=True)[:k][-1] if scores else 0.0


class Cascade(BaseReranker):
    """Scores all candidates with `cheap`, and those that can still reach the top with `full`.

    - `margin`: a candidate is ruled out if its cheap score is more than `margin.value` below
      the `margin.k`-th best one (see `fit_margin`). None takes the one that is bundled for
      these models.

    The results have the scores of `full` alone; candidates that were ruled out are not scored,
    and the status is "partially_reranked". With `margin.k` candidates or fewer, or where the
    caller asks for more results than that, `full` scores all and `cheap` none.

    Raises `InputError` where no margin is bundled, and for a `cheap` reranker whose scores
    depend on the whole list (`ScoreKind.RANK`).
    """

    def __init__(
        self, cheap: BaseReranker, full: BaseReranker, margin: Margin | None = None
    ) -> None:
        self.cheap = cheap
        self.full = full
        self.margin = bundled_margin(cheap, full) if margin is None else margin

    @property
    def model(self) -> str:
        """The name of the full reranker's model."""
        return self.full.model

    @property
    def base(self) -> BaseReranker:
        """The backend inside of the full reranker."""
        return self.full.base

    @property
    def span_reranker(self) -> BaseReranker:
        """The full reranker."""
        return self.full

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return those of both rerankers."""
        inner = (self.cheap, self.full)
        return tuple(name for r in inner for name in r.models_without_instructions())

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> Cascade:
        """Return a copy of this cascade with the backends of both rerankers replaced."""
        twin = copy.copy(self)
        twin.cheap = self.cheap.map_base(function)
        twin.full = self.full.map_base(function)
        return twin

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the cheap reranker, then the survivors with the full one."""
        k, count = self.margin.k, len(candidates)
        if count <= k or (options.top_k is not None and options.top_k > k):
            return self.full.score(query, candidates, options)
        first = self.cheap.score(query, candidates, options)
        if first.kind is ScoreKind.RANK:
            raise InputError(
                f"A cascade cannot begin with {self.cheap.model!r}",
                why="its scores order one list only, so no margin applies",
                fix="Wrap the cascade: Blend(Cascade(cheap, full)).",
            )
        values = [s.value if s.scored else None for s in first.scores]
        positions = survivors(values, self.margin)
        # The cheap reranker is the first stage of the full one: a budget takes its best.
        remaining = [replace(candidates[i], rank=n) for n, i in enumerate(positions, start=1)]
        second = self.full.score(query, remaining, options)
        reason = f"{len(positions)} of {count} candidates could still reach the top {k}"
        return merge_scores(
            dict(zip(positions, second.scores, strict=True)),
            count,
            parts=[second],
            other_calls=[first],
            reason=reason if len(positions) < count else None,
        )
