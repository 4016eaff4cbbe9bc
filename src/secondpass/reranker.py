"""The reranker facade: one class, models by name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Unpack

from secondpass.options import OnFailure, RerankOptions
from secondpass.registry import load_reranker, resolve_early_exit
from secondpass.rerank.base import BaseReranker, Scored, ScoringJob
from secondpass.rerank.inputs import DocumentLike
from secondpass.rerank.policies.fallback import (
    check_chain,
    check_on_failure,
    with_fallback,
)
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, RerankResponse


class Reranker(BaseReranker):
    """A reranker by the name of its model; the bundled one needs no network.

    - `model`: "bundled", the path of a model folder, "owner/model@revision" of a Hugging
      Face repository (`revision`: the full commit hash, if not in the name), or
      "provider/model", such as "cohere/rerank-v3.5".
    - `label`: for a classifier with several outputs, the one that means "relevant", by
      name or position; the last by default.
    - `threads`: threads for one batch; None leaves it to the runtime.
    - `early_exit`: whether candidates that cannot be among the `top_k` are left out before the
      model reads them to the end; see docs/explanation/speed-engine.md. `exits` is its
      deprecated name.
    - `api_key`, `base_url`: of a provider; from the environment by default.
    - `chain`: names or rerankers to use, in this order, if the model fails.
    - `on_failure`: "raise", or "fallback" for the first stage's order (see `Fallback`).
    - `timeout`: seconds for the model and for each of the chain; None for no limit (30 for a
      provider).

    Several threads may use one object at once. Raises `ModelNotFoundError` for an
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
        early_exit: bool = False,
        api_key: str | None = None,
        base_url: str | None = None,
        chain: Sequence[str | Path | BaseReranker] = (),
        on_failure: OnFailure = "raise",
        timeout: float | None = None,
        exits: bool | None = None,
    ) -> None:
        early_exit = resolve_early_exit(early_exit, exits)
        check_on_failure(on_failure)
        check_chain(chain)
        first = load_reranker(
            model,
            revision=revision,
            label=label,
            threads=threads,
            early_exit=early_exit,
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            partial=on_failure == "fallback" and not chain,
        )
        rest = [
            one if isinstance(one, BaseReranker) else load_reranker(one, timeout=timeout)
            for one in chain
        ]
        self.backend = with_fallback(first, rest, on_failure=on_failure, timeout=timeout)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.backend.model

    @property
    def base(self) -> BaseReranker:
        """The backend of the model."""
        return self.backend.base

    @property
    def identity(self) -> str | None:
        """The fingerprint of the model for cache keys."""
        return self.backend.identity

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> Reranker:
        """Return a copy of this reranker with the backends inside replaced."""
        twin = copy.copy(self)
        twin.backend = self.backend.map_base(function)
        return twin

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, without blocking the event loop."""
        return await self.backend.arerank(query, documents, **options)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the model's backend."""
        return self.backend.score(query, candidates, options)

    def score_batch(self, jobs: Sequence[ScoringJob]) -> list[Scored]:
        """Score with the model's backend."""
        return self.backend.score_batch(jobs)
