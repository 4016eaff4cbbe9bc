"""The reranker facade: one class, models by name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Unpack

from secondpass.composition import Composer
from secondpass.option_types import takes, with_defaults
from secondpass.options import PolicyOptions, RerankOptions
from secondpass.registry import load_reranker, resolve_early_exit
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import DocumentLike
from secondpass.rerank.policies.fallback import check_chain, check_on_failure
from secondpass.rerank.score import Scored, ScoringJob
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, RerankResponse


class Reranker(BaseReranker):
    """A reranker by the name of its model; the bundled one needs no network.

    - `model`: "bundled", the path of a model folder, "owner/model" of a Hugging Face
      repository, or "provider/model", such as "cohere/rerank-v3.5".
    - `revision`: a commit, branch or tag of the repository, as in "owner/model@revision". A
      name that can move is resolved once, and recorded in a lock file.
    - `label`: for a classifier with several outputs, the one that means "relevant", by
      name or position; the last by default.
    - `threads`: threads for one batch; None leaves it to the runtime.
    - `precision`: "int8" for 8-bit integers, which are made of a cross-encoder in full
      precision when it is first loaded (in a minute or more, and kept in the user's cache),
      "auto" for the same where they rank as full precision does, "fp32" for full precision;
      None for the files as they are. `calibration_pairs`: the file of pairs that ranges are
      measured on. The attributes `precision` and `precision_reason` say what was loaded.
    - `device`: where PyTorch runs a model in the format of transformers, such as "cuda" or
      "cuda:1"; None is the CPU. What is said about speed was measured on CPUs.
    - `api_key`, `base_url`: of a provider; from the environment by default.
    - The other options are policies around the model, as in `Index.search`.

    Several threads may use one object at once. Raises `ModelNotFoundError` for an
    unknown name, `ModelDamagedError` for files that differ from their checksums,
    `MissingExtraError` if the model needs a package that is not installed.
    """

    @takes(PolicyOptions)
    def __init__(
        self,
        model: str | Path = "bundled",
        *,
        revision: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        device: str | None = None,
        exits: bool | None = None,
        **policies: Unpack[PolicyOptions],
    ) -> None:
        chosen = with_defaults(PolicyOptions, policies)
        check_chain(chosen["chain"])
        check_on_failure(chosen["on_failure"])
        loaded = load_reranker(
            model,
            revision=revision,
            label=label,
            threads=threads,
            early_exit=resolve_early_exit(chosen.pop("early_exit"), exits),
            precision=chosen.pop("precision"),
            calibration_pairs=chosen.pop("calibration_pairs"),
            api_key=api_key,
            base_url=base_url,
            device=device,
            timeout=chosen["timeout"],
            partial=chosen["on_failure"] == "fallback" and not chosen["chain"],
        )
        self.precision = loaded.precision
        self.precision_reason = loaded.precision_reason
        self.backend = Composer().compose(loaded, chosen)

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

    @property
    def default_rescorer(self) -> str | None:
        """The model that reads its first results again in a search."""
        return self.backend.default_rescorer

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return those of the model and of its policies."""
        return self.backend.models_without_instructions()

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

    @property
    def span_reranker(self) -> BaseReranker:
        """The model's backend."""
        return self.backend

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the model's backend."""
        return self.backend.score(query, candidates, options)

    def score_batch(self, jobs: Sequence[ScoringJob]) -> list[Scored]:
        """Score with the model's backend."""
        return self.backend.score_batch(jobs)
