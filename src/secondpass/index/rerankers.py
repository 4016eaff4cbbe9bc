"""Rerankers of an index: its own, models by name, and the policies of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from secondpass.composition import Composer
from secondpass.index.precompute import PrecomputedStates, is_precomputed
from secondpass.option_types import declared
from secondpass.options import PolicyOptions, Rerank
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.boost_values import Matches

DEFAULT = "bundled"
"""The model of an index that was opened without a reranker of its own."""


class IndexRerankers:
    """The rerankers of one index, each loaded once; `own` is used for `rerank=True`.

    Thread-safe.
    """

    def __init__(self, states: PrecomputedStates, own: BaseReranker | None = None) -> None:
        self._states = states
        self._own = own
        self._composer = Composer()

    def load(self, rerank: Rerank) -> BaseReranker:
        """Return a reranker: `rerank` itself, the index's own for True, or a model by name."""
        if isinstance(rerank, BaseReranker):
            return rerank
        if rerank is True:
            return self._composer.load(DEFAULT) if self._own is None else self._own
        return self._composer.load(str(rerank))

    def load_for_states(self) -> BaseReranker | None:
        """Return the index's own reranker, or None if no states of passages can be stored.

        The default model is loaded only if it is a precomputed reranker.
        """
        if not self._states.available:
            return None
        if self._own is not None or is_precomputed(DEFAULT):
            return self.load(True)
        return None

    def compose(
        self,
        options: Mapping[str, Any],
        *,
        wrap: Callable[[BaseReranker], BaseReranker] | None = None,
        matches: Matches | None = None,
        known_fields: Mapping[str, str] | None = None,
    ) -> BaseReranker:
        """Return the reranker of a search under its policies; `rerank` must not be False.

        `options` has a value for every one of the `SearchOptions`. `wrap` is put around what
        reads, inside of calibration and blend; `matches` and `known_fields` are those of
        `Boost`.
        """

        def use_states(reranker: BaseReranker) -> BaseReranker:
            reader = self._states.use_states(reranker)
            return reader if wrap is None else wrap(reader)

        rerank = options["rerank"]
        if rerank is True:
            rerank = DEFAULT if self._own is None else self._own
        policies = {name: options[name] for name in (*declared(PolicyOptions), "blend")}
        return self._composer.compose(
            rerank,
            policies,
            states=use_states,
            matches=matches,
            known_fields=known_fields,
        )

    def close(self) -> None:
        """Close the caches of policies."""
        self._composer.close()
