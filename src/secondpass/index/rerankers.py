"""The rerankers of an index: its own, models by name, and the policies of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.composition import Composer
from secondpass.index.precompute import PrecomputedStates, is_reader
from secondpass.option_types import declared
from secondpass.options import PolicyOptions, Rerank
from secondpass.rerank.base import BaseReranker

DEFAULT = "bundled"
"""The model of an index that was opened without a reranker of its own."""


class IndexRerankers:
    """The rerankers of one index, each loaded once; `own` is what True stands for.

    Safe to use from several threads at once.
    """

    def __init__(self, states: PrecomputedStates, own: BaseReranker | None = None) -> None:
        self._states = states
        self._own = own
        self._composer = Composer()

    def named(self, rerank: Rerank) -> BaseReranker:
        """Return the reranker that was given, the index's own, or the model of that name."""
        if isinstance(rerank, BaseReranker):
            return rerank
        if rerank is True:
            return self._composer.load(DEFAULT) if self._own is None else self._own
        return self._composer.load(str(rerank))

    def own(self) -> BaseReranker | None:
        """Return the index's own reranker, or None if it can keep no states of documents."""
        if not self._states.possible:
            return None
        if self._own is not None or is_reader(DEFAULT):
            return self.named(True)
        return None

    def composed(self, chosen: Mapping[str, Any]) -> BaseReranker:
        """Return the reranker of a search under its policies; `rerank` must not be False.

        `chosen` has a value for every one of the `SearchOptions`.
        """
        rerank = chosen["rerank"]
        if rerank is True:
            rerank = DEFAULT if self._own is None else self._own
        policies = {name: chosen[name] for name in (*declared(PolicyOptions), "blend")}
        return self._composer.compose(rerank, policies, states=self._states.reading)

    def close(self) -> None:
        """Close what policies keep open."""
        self._composer.close()
