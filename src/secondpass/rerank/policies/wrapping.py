"""What all policies share that wrap one reranker."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from secondpass.rerank.base import BaseReranker

if TYPE_CHECKING:
    from secondpass.rerank.precomputed.store import StateStore


class Wrapping(BaseReranker):
    """A reranker over another; a subclass says how candidates are scored with it."""

    def __init__(self, reranker: BaseReranker) -> None:
        self.reranker = reranker

    @property
    def model(self) -> str:
        """The name of the wrapped reranker's model."""
        return self.reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend at the bottom of the wrapped reranker."""
        return self.reranker.base

    def with_states(self, store: StateStore) -> Self:
        """Return this policy with the store handed on; all else is shared."""
        twin = copy.copy(self)
        twin.reranker = self.reranker.with_states(store)
        return twin
