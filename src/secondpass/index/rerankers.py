"""Rerankers of a search: its own, models by name, and the policies of its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from secondpass.composition import Composer
from secondpass.index.precompute import is_precomputed
from secondpass.option_types import declared
from secondpass.option_values import RESCORE_AUTO, RESCORE_NONE
from secondpass.options import PolicyOptions, Rerank
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.boost_values import Matches
from secondpass.rerank.policies.blend import VectorLookup
from secondpass.rerank.question import is_question

DEFAULT = "bundled"
"""The model of a search that was made without a reranker of its own."""


class KeptForModels(Protocol):
    """What an index keeps for rerankers, such as the `PrecomputedStates` of its passages."""

    @property
    def available(self) -> bool:
        """Whether states can be stored for any precomputed reranker."""

    def use_states(self, reranker: BaseReranker) -> BaseReranker:
        """Return a reranker that uses what is kept for it, or the same where nothing is."""


class SearchRerankers:
    """The rerankers of one source, each loaded once; `own` is used for `rerank=True`.

    `states` are those that an index stores; None elsewhere, where rerankers read texts.
    Thread-safe.
    """

    def __init__(
        self,
        own: BaseReranker | str | Path | None = None,
        states: KeptForModels | None = None,
    ) -> None:
        self._states = states
        self._own: BaseReranker | str | Path = DEFAULT if own is None else own
        self._composer = Composer()

    def use_models(self, models: Mapping[str, BaseReranker]) -> None:
        """Use these rerankers for their names from now on, and no others for "auto"."""
        self._composer.use_models(models)

    @property
    def loaded(self) -> int:
        """How many models were loaded by name."""
        return self._composer.loaded

    def load(self, rerank: Rerank) -> BaseReranker:
        """Return a reranker: `rerank` itself, the own one for True, or a model by name."""
        chosen = self._own if rerank is True else rerank
        if isinstance(chosen, BaseReranker):
            return chosen
        return self._composer.load(str(chosen))

    def find_rescorer(self, query: str, options: Mapping[str, Any]) -> BaseReranker | None:
        """Return what rescores by the options `rerank`, `blend` and `rescore`; None for none.

        It uses the stored states, where there are some.
        """
        rescore = options["rescore"]
        if rescore == RESCORE_AUTO:
            if not is_question(query):
                return None
            reranker = self.load(options["rerank"])
            rescore = self._composer.automatic_rescorer(reranker, options)
        return None if rescore in (None, RESCORE_NONE) else self.load_with_states(rescore)

    def load_with_states(self, rerank: Rerank) -> BaseReranker:
        """Return a reranker as `load` does; it uses the stored states, where there are some."""
        reranker = self.load(rerank)
        return reranker if self._states is None else self._states.use_states(reranker)

    def load_for_states(self) -> BaseReranker | None:
        """Return the index's own reranker, or None if no states of passages can be stored.

        The default model is loaded only if it is a precomputed reranker.
        """
        if self._states is None or not self._states.available:
            return None
        if isinstance(self._own, BaseReranker) or is_precomputed(str(self._own)):
            return self.load(True)
        return None

    def compose(
        self,
        options: Mapping[str, Any],
        *,
        wrap: Callable[[BaseReranker], BaseReranker] | None = None,
        matches: Matches | None = None,
        known_fields: Mapping[str, str] | None = None,
        vectors: VectorLookup | None = None,
    ) -> BaseReranker:
        """Return the reranker of a search under its policies; `rerank` must not be False.

        `options` has a value for every one of the `SearchOptions`. `wrap` is put around what
        reads, inside of calibration and blend; `matches` and `known_fields` are those of
        `Boost`, `vectors` are those of `Blend`.
        """
        rerank = options["rerank"]
        if rerank is True:
            rerank = self._own
        policies = {name: options[name] for name in (*declared(PolicyOptions), "blend")}
        return self._composer.compose(
            rerank,
            policies,
            states=None if self._states is None else self._states.use_states,
            wrap=wrap,
            matches=matches,
            known_fields=known_fields,
            vectors=vectors,
        )

    def close(self) -> None:
        """Close the caches of policies."""
        self._composer.close()
