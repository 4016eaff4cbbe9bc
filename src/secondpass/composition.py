"""Composition of policies: one set of options becomes one reranker, for every interface."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from secondpass.errors import InputError
from secondpass.option_types import with_defaults
from secondpass.option_values import RESCORE_AUTO, RESCORE_NONE
from secondpass.options import OnFailure, PolicyOptions
from secondpass.registry import load_reranker
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.boost_values import Matches
from secondpass.rerank.hosted.registry import split_name
from secondpass.rerank.inputs import check_ids
from secondpass.rerank.policies.blend import Blend, VectorLookup
from secondpass.rerank.policies.boost import Boost
from secondpass.rerank.policies.budget import Budgeted
from secondpass.rerank.policies.calibration import Calibrated
from secondpass.rerank.policies.cascade import Cascade, Margin
from secondpass.rerank.policies.fallback import (
    check_chain,
    check_on_failure,
    with_fallback,
)
from secondpass.rerank.policies.mmr import MMR
from secondpass.rerank.policies.pinned import Pinned
from secondpass.rerank.policies.redis_store import is_redis_url
from secondpass.rerank.policies.rescore import Rescored
from secondpass.rerank.policies.score_cache import Cached, CacheStats
from secondpass.storage import user_cache

CHEAP = "bundled-tiny"
"""The model that a cascade begins with."""

# Of the budget, the share that the cheap reranker of a cascade may take.
_CHEAP_SHARE = 0.5
_MAX_STACKS = 32
# How the model is loaded; not those that stand in for it.
_LOAD_OPTIONS = ("early_exit", "precision", "calibration_pairs")
# With these a search takes less time, not more.
_FASTER = ("cascade", "budget_ms", "early_exit")
# What applies to the model that rescores, as to the others.
_RESCORER_POLICIES = ("budget_ms", "cache", "on_failure", "timeout")


class Composer:
    """Composes rerankers, and loads each model once.

    Policies that learn or count (a budget, a cache, a circuit breaker) are made once for each
    reranker and set of options, and used again. Safe to use from several threads at once.
    """

    def __init__(self) -> None:
        self._given: Mapping[str, BaseReranker] | None = None
        self._models: dict[tuple[object, ...], BaseReranker] = {}
        self._stacks: dict[tuple[object, ...], BaseReranker] = {}
        self._caches: dict[tuple[BaseReranker, str | Path], Cached] = {}
        self._lock = threading.RLock()

    @property
    def loaded(self) -> int:
        """How many models were loaded."""
        return len(self._models)

    def use_models(self, models: Mapping[str, BaseReranker]) -> None:
        """Use these rerankers for their names from now on, and no others for "auto"."""
        self._given = models

    def load(
        self,
        name: str | Path,
        *,
        early_exit: bool = False,
        timeout: float | None = None,
        partial: bool = False,
        precision: str | None = None,
        calibration_pairs: str | Path | None = None,
    ) -> BaseReranker:
        """Return the model of a name; raises what `load_reranker` raises."""
        if self._given is not None and str(name) in self._given:
            return self._given[str(name)]
        limits = (timeout, partial)
        # Only a provider's models have limits. Whether a name is a provider's may take 20 ms to
        # find out, as long as a search.
        if limits != (None, False) and not (isinstance(name, str) and split_name(name)):
            limits = (None, False)
        key = (str(name), early_exit, precision, str(calibration_pairs), *limits)
        with self._lock:
            if key not in self._models:
                self._models[key] = load_reranker(
                    name,
                    early_exit=early_exit,
                    timeout=timeout,
                    partial=partial,
                    precision=precision,
                    calibration_pairs=calibration_pairs,
                )
            return self._models[key]

    def compose(
        self,
        reranker: str | Path | BaseReranker,
        options: Mapping[str, Any],
        *,
        states: Callable[[BaseReranker], BaseReranker] | None = None,
        wrap: Callable[[BaseReranker], BaseReranker] | None = None,
        cheap: BaseReranker | None = None,
        margin: Margin | None = None,
        matches: Matches | None = None,
        known_fields: Mapping[str, str] | None = None,
        vectors: VectorLookup | None = None,
    ) -> BaseReranker:
        """Return a reranker under the policies that the options ask for.

        From the inside out: scores are cached right around each model, so that every policy
        profits; then the models that stand in if one fails; the budget, on one clock for
        both models of a cascade, of which the cheap one may take half; the cascade; the
        calibration; the blend; the rescorer, which reads what comes first so far, under the
        same cache, budget and handling of failures; the boosts, in standard deviations of the
        score so far; diversity, which trades the boosted score; the pins, which nothing moves
        again.

        `options` are those of `PolicyOptions`, and `blend`. `states` gives a reranker the
        document states that an index keeps; `wrap` is put around what reads all candidates,
        inside of calibration and blend. A cascade begins with `cheap`, by default the bundled
        model for it, and its `margin`. `matches` applies the filters of boosts, which can name
        the `known_fields` of an index; `vectors` are those of its passages. Raises `InputError`
        as the policies do.
        """
        chosen = with_defaults(
            PolicyOptions, {k: v for k, v in options.items() if k != "blend"}
        )
        composed = self._stack(reranker, chosen, cheap, margin)
        if states is not None:
            composed = states(composed)
        if wrap is not None:
            composed = wrap(composed)
        if chosen["calibration"] is not None:
            composed = Calibrated(composed, chosen["calibration"])
        blend = options.get("blend", False)
        if blend is not False:
            composed = Blend(composed, None if blend is True else blend, vectors=vectors)
        automatic = chosen["rescore"] == RESCORE_AUTO
        if automatic:
            chosen["rescore"] = self.automatic_rescorer(
                reranker if isinstance(reranker, BaseReranker) else composed.base, options
            )
        if chosen["rescore"] not in (None, RESCORE_NONE):
            rescorer = self._rescorer(chosen, automatic=automatic)
            composed = Rescored(
                composed,
                rescorer if states is None else states(rescorer),
                window=chosen["rescore_window"],
                weight=chosen["rescore_weight"],
            )
        if chosen["boost"]:
            composed = Boost(
                composed, chosen["boost"], matches=matches, known_fields=known_fields
            )
        if chosen["diversity"] is not None:
            composed = MMR(composed, diversity=chosen["diversity"])
        pinned = check_ids("pin", chosen["pin"])
        return Pinned(composed, first=pinned) if pinned else composed

    def automatic_rescorer(
        self, reranker: BaseReranker, options: Mapping[str, Any]
    ) -> str | None:
        """Return the name of the model that rescores where `rescore` is "auto", or None.

        It is the reranker's own, where scores are blended by their default weights, and no
        option trades quality for time: a cascade, a budget or early exit.
        """
        if options.get("blend", False) is not True or any(map(options.get, _FASTER)):
            return None
        name = reranker.default_rescorer
        return name if self._given is None or name in self._given else None

    def _stack(
        self,
        reranker: str | Path | BaseReranker,
        chosen: dict[str, Any],
        cheap: BaseReranker | None,
        margin: Margin | None,
    ) -> BaseReranker:
        """Return the policies inside calibration and blend, the same ones at every call."""
        chain, on_failure, timeout = chosen["chain"], chosen["on_failure"], chosen["timeout"]
        check_chain(chain)
        check_on_failure(on_failure)
        partial = on_failure == "fallback" and not chain
        load_options = {name: chosen[name] for name in _LOAD_OPTIONS}
        for name, value in load_options.items():
            if value not in (None, False) and isinstance(reranker, BaseReranker):
                raise InputError(
                    f"{name} is for a model that is loaded by name",
                    why=f"{reranker.model!r} was given as an object",
                    fix=f"Load it with Reranker(…, {name}={value!r}).",
                )

        def model(name: str | Path | BaseReranker, **more: Any) -> BaseReranker:
            if isinstance(name, BaseReranker):
                return name
            return self.load(name, timeout=timeout, **more)

        first = model(reranker, partial=partial, **load_options)
        rest = tuple(model(name) for name in chain)
        if chosen["cascade"] and cheap is None:
            cheap = self.load(CHEAP)
        if not chosen["cascade"]:
            cheap = None
        budget_ms, cache = chosen["budget_ms"], cache_place(chosen["cache"])
        key = (first, rest, on_failure, timeout, cheap, margin, budget_ms, cache)
        with self._lock:
            if key not in self._stacks:
                while len(self._stacks) >= _MAX_STACKS:
                    del self._stacks[next(iter(self._stacks))]
                self._stacks[key] = self._build(*key)
            return self._stacks[key]

    def _rescorer(self, chosen: Mapping[str, Any], *, automatic: bool) -> BaseReranker:
        """Return the model that rescores, under the policies that every model is under.

        If it is `automatic`, its failure is not that of the search.
        """
        model = chosen["rescore"]
        if not isinstance(model, BaseReranker):
            names = () if automatic else ("precision", "calibration_pairs")
            model = self.load(
                model, timeout=chosen["timeout"], **{name: chosen[name] for name in names}
            )
        policies = {name: chosen[name] for name in _RESCORER_POLICIES}
        if automatic:
            policies["on_failure"] = "fallback"
        return self._stack(model, with_defaults(PolicyOptions, policies), None, None)

    def _build(
        self,
        first: BaseReranker,
        rest: Sequence[BaseReranker],
        on_failure: OnFailure,
        timeout: float | None,
        cheap: BaseReranker | None,
        margin: Margin | None,
        budget_ms: float | None,
        cache: str | Path | None,
    ) -> BaseReranker:
        def cached(one: BaseReranker) -> BaseReranker:
            if cache is None:
                return one
            if (one, cache) not in self._caches:
                self._caches[one, cache] = Cached(one, cache)
            return self._caches[one, cache]

        def budgeted(one: BaseReranker, share: float) -> BaseReranker:
            return one if budget_ms is None else Budgeted(one, share * budget_ms)

        # A model of the chain whose scores cannot be cached answers all the same.
        others = [cached(one) if one.identity is not None else one for one in rest]
        full = with_fallback(cached(first), others, on_failure=on_failure, timeout=timeout)
        if cheap is None:
            return budgeted(full, 1)
        return Cascade(budgeted(cached(cheap), _CHEAP_SHARE), budgeted(full, 1), margin)

    def close(self) -> None:
        """Close the places of cached scores; they are opened again when they are needed."""
        with self._lock:
            self._stacks.clear()
            for one in self._caches.values():
                one.close()
            self._caches.clear()


def compose(
    reranker: str | Path | BaseReranker = "bundled", **options: Unpack[PolicyOptions]
) -> BaseReranker:
    """Return a reranker, or the model of a name, under the policies of the options."""
    return Composer().compose(reranker, options)


def cache_stats(reranker: BaseReranker) -> CacheStats | None:
    """Return hits and misses of a cached reranker, without sizes; None for another one."""
    return reranker.stats(sizes=False) if isinstance(reranker, Cached) else None


def default_cache() -> Path:
    """Return the file that `cache=True` uses: in $XDG_CACHE_HOME, or else in ~/.cache."""
    return user_cache() / "scores.sqlite"


def cache_place(cache: bool | str | Path) -> str | Path | None:
    """Return the file or the URL of the option `cache`, None for no cache."""
    if isinstance(cache, bool):
        return default_cache() if cache else None
    return cache if is_redis_url(cache) else Path(cache)
