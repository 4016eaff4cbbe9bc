"""What reranks the candidates of an index: models by name, under the policies of a search.

The reranker of a command, within the policies that its options ask for.

Policies put together in the order in which they work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.blend import Blend
from secondpass.rerank.policies.budget import Budgeted
from secondpass.rerank.policies.calibration import Calibrated
from secondpass.rerank.policies.cascade import Cascade, Margin
from secondpass.rerank.policies.fallback import Fallback, OnFailure, check_on_failure
from secondpass.rerank.policies.score_cache import Cached
from secondpass.types import (
    Candidate,
    FirstStageScores,
    RankedDocument,
    RerankResponse,
    ScoreKind,
    Status,
    Usage,
)

if TYPE_CHECKING:
    from secondpass.index.precompute import PrecomputedStates
    from secondpass.rerank.calibration import Calibration


def second_pass(
    model: str,
    *,
    base_url: str | None = None,
    chain: Sequence[str] = (),
    fallback: bool = False,
    timeout: float | None = None,
    budget_ms: float | None,
    cascade: bool,
    cache: bool,
    exits: bool = False,
    calibration: Path | None = None,
) -> BaseReranker:
    """Load the model and what `--cascade` needs; raises what those and the policies raise."""
    from secondpass.registry import load_reranker
    from secondpass.rerank.policies.calibration import Calibrated
    from secondpass.reranker import Reranker

    reranker = compose(
        Reranker(
            model,
            base_url=base_url,
            chain=chain,
            on_failure="fallback" if fallback else "raise",
            timeout=timeout,
            early_exit=exits,
        ),
        cheap=load_reranker(CHEAP) if cascade else None,
        budget_ms=budget_ms,
        cache=default_cache() if cache else None,
    )
    return reranker if calibration is None else Calibrated(reranker, calibration)


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


Rerank = bool | str | Path | BaseReranker
"""True for the index's own reranker, False for none, else a model's name or a reranker."""

_MOST_GUARDS = 32


class SecondPass:
    """The rerankers of one index, each loaded once; `own` is what True stands for.

    Safe to use from several threads at once.
    """

    def __init__(self, keeper: PrecomputedStates, own: BaseReranker | None = None) -> None:
        self._keeper = keeper
        self._rerankers: dict[str, BaseReranker] = {} if own is None else {"bundled": own}
        self._guards: dict[tuple[object, ...], Fallback] = {}
        self._loading = threading.Lock()

    def named(self, rerank: Rerank) -> BaseReranker:
        """Return a reranker that was given, or the model of that name."""
        if isinstance(rerank, BaseReranker):
            return rerank
        return self._load("bundled" if rerank is True else str(rerank))

    def own(self) -> BaseReranker | None:
        """Return the index's own reranker, or None where it cannot be a reader."""
        if not self._keeper.possible:
            return None
        from secondpass.index.precompute import is_reader

        if "bundled" in self._rerankers or is_reader("bundled"):
            return self._load("bundled")
        return None

    def composed(
        self,
        rerank: Rerank,
        blend: bool | Mapping[str, float],
        cascade: bool,
        calibration: str | Path | Calibration | None,
        chain: tuple[str | Path | BaseReranker, ...],
        on_failure: OnFailure,
        timeout: float | None,
    ) -> BaseReranker | None:
        """Return the reranker of a search with its policies, or None for no second pass.

        The arguments are those of `Index.search`.
        """
        check_on_failure(on_failure)
        if rerank is False:
            return None
        reranker = self.named(rerank)
        if chain or on_failure != "raise" or timeout is not None:
            reranker = self._guarded(reranker, chain, on_failure, timeout)
        if cascade:
            reranker = Cascade(self._load(CHEAP), reranker)
        reranker = self._keeper.reading(reranker)
        if calibration is not None:
            reranker = Calibrated(reranker, calibration)
        if blend is False:
            return reranker
        return Blend(reranker, None if blend is True else blend)

    def _guarded(
        self,
        reranker: BaseReranker,
        chain: tuple[str | Path | BaseReranker, ...],
        on_failure: OnFailure,
        timeout: float | None,
    ) -> BaseReranker:
        """Return the reranker under a policy, the same at every search: it counts failures."""
        rest = tuple(c if isinstance(c, BaseReranker) else self._load(str(c)) for c in chain)
        key = (reranker, rest, on_failure, timeout)
        with self._loading:
            if key not in self._guards:
                while len(self._guards) >= _MOST_GUARDS:
                    del self._guards[next(iter(self._guards))]
                self._guards[key] = Fallback(
                    reranker, chain=rest, on_failure=on_failure, timeout=timeout
                )
            return self._guards[key]

    def _load(self, name: str) -> BaseReranker:
        from secondpass.registry import load_reranker

        with self._loading:
            if name not in self._rerankers:
                self._rerankers[name] = load_reranker(name)
            return self._rerankers[name]


def unranked(
    query: str, candidates: Sequence[Candidate], kind: ScoreKind, return_documents: bool
) -> RerankResponse:
    """Return candidates in the order in which they came, with status "skipped"."""
    results = tuple(
        RankedDocument(
            index=i,
            rank=i + 1,
            score=0.0 if c.score is None else c.score,
            score_kind=kind,
            first_stage=FirstStageScores(i + 1, c.score, c.bm25, c.vector),
            id=c.document.id,
            document=c.document if return_documents else None,
            windows=0,
            scored=False,
        )
        for i, c in enumerate(candidates)
    )
    return RerankResponse(
        query=query,
        model=None,
        status=Status.SKIPPED,
        results=results,
        timings={},
        usage=Usage(documents=len(candidates)),
        reason="reranking was switched off",
    )
