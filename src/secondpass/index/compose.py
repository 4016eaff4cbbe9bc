"""Policies put together in the order in which they work."""

from __future__ import annotations

import os
from pathlib import Path

from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.budget import Budgeted
from secondpass.rerank.policies.cascade import Cascade
from secondpass.rerank.policies.margin import Margin
from secondpass.rerank.policies.score_cache import Cached

CHEAP = "bundled-tiny"
"""The model that a cascade on the command line begins with."""

# Of the budget, what the cheap reranker may take.
_SHARE = 0.5


def compose(
    reranker: BaseReranker,
    *,
    cheap: BaseReranker | None = None,
    margin: Margin | None = None,
    budget_ms: float | None = None,
    cache: str | Path | None = None,
) -> BaseReranker:
    """Return `reranker` within the policies that are asked for, or as it is for none.

    Scores are cached right around each model, so that every policy profits. Around that
    comes the budget, on one clock for both models, of which `cheap` may take half; and
    around that the cascade, which hands the best of `cheap` to `reranker` first.
    `cache` is the file of `Cached`; `margin` is that of `Cascade`. Raises `InputError` as
    those do.
    """

    def within(one: BaseReranker, share: float) -> BaseReranker:
        kept = one if cache is None else Cached(one, cache)
        return kept if budget_ms is None else Budgeted(kept, share * budget_ms)

    if cheap is None:
        return within(reranker, 1)
    return Cascade(within(cheap, _SHARE), within(reranker, 1), margin)


def default_cache() -> Path:
    """Return the file that `--cache` uses: in $XDG_CACHE_HOME, or else in ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # An empty value means unset there, says the XDG Base Directory Specification.
    folder = Path(named) if named else Path.home() / ".cache"
    return folder / "secondpass" / "scores.sqlite"
