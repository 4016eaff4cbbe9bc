"""The reranker that most people want: one name, one object."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.registry import load_reranker
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.reading import Reading
from secondpass.types import Candidate

if TYPE_CHECKING:
    from secondpass.rerank.reader.store import StateStore


class Reranker(BaseReranker):
    """A reranker by the name of its model; the bundled one needs no network.

    - `model`: "bundled", the path of a model folder, or "owner/model@revision" of a
      Hugging Face repository (`revision`: the full commit hash, if not in the name).
    - `label`: for a classifier with several outputs, the one that means "relevant", by
      name or position; the last by default.
    - `threads`: threads for one batch; None leaves it to the engine.

    One object may be used by several threads at once. Raises `ModelNotFoundError` for an
    unknown name, `ModelDamagedError` for files that differ from their checksums,
    `MissingExtraError` if the model needs a package that is not installed.
    """

    def __init__(
        self,
        model: str | Path = "bundled",
        *,
        revision: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
    ) -> None:
        self.backend = load_reranker(model, revision=revision, label=label, threads=threads)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.backend.model

    @property
    def base(self) -> BaseReranker:
        """The model's backend."""
        return self.backend.base

    @property
    def identity(self) -> str | None:
        """What tells this model's scores from those of any other."""
        return self.backend.identity

    def with_states(self, store: StateStore) -> Reranker:
        """Return this reranker with the store handed on to its backend."""
        twin = copy.copy(self)
        twin.backend = self.backend.with_states(store)
        return twin

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score with the model's backend."""
        return self.backend.score(query, candidates, reading)
