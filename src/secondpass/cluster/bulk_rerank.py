"""Reranking and encoding with Ray: actors score or encode parts of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from secondpass.cluster.actor_pool import ActorPool
from secondpass.cluster.bulk_index import check_models
from secondpass.cluster.bulk_worker import EncodeWorker, ScoreWorker
from secondpass.cluster.ray_runtime import RayRuntime
from secondpass.errors import InputError
from secondpass.inference.types import Float32
from secondpass.registry import load_reranker
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import (
    RerankerWrapper,
    merge_scores,
    require_pairwise_scores,
)
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.embedder import Embedder
from secondpass.types import Candidate

# Enough for full batches, and few enough that all actors have work to the end.
_CANDIDATES_EACH = 64
_TEXTS_EACH = 32


class RayReranker(RerankerWrapper):
    """A reranker whose candidates are scored by the actors of a pool, part by part.

    The scores are those of `reranker`, the same model in this process, which stays unused but
    for what is asked of it besides scores. `Usage.tokens` counts the query once for each part.
    `progress` is called with how many candidates of a call are done, and how many there are.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        pool: ActorPool,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(reranker)
        self._pool, self._progress = pool, progress

    @property
    def identity(self) -> str | None:
        """That of the model."""
        return self.reranker.identity

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """Those of the model."""
        return self.reranker.blend_weights

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores of all candidates, in their order.

        Raises InputError for a model whose scores order one list only.
        """
        # The clock of `started` is that of this process.
        there = replace(options, started=None)
        starts = range(0, len(candidates), _CANDIDATES_EACH)
        parts = [
            (query, list(candidates[start : start + _CANDIDATES_EACH]), there)
            for start in starts
        ]
        scored: list[Scored] = []
        done = 0
        for part in self._pool.map("score", parts):
            if len(parts) > 1:
                require_pairwise_scores("Ray", part, "Leave --on ray out.")
            scored.append(part)
            done += len(part.scores)
            if self._progress is not None:
                self._progress(done, len(candidates))
        scores = (score for part in scored for score in part.scores)
        return merge_scores(dict(enumerate(scores)), len(candidates), parts=scored)


@contextmanager
def ray_reranker(
    runtime: RayRuntime,
    model: str,
    *,
    actors: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **loading: Any,
) -> Iterator[RayReranker]:
    """Yield a reranker whose model each actor has loaded; `loading` is for `load_reranker`.

    A folder or a cached model must be there on the machines of all actors. Raises InputError
    for a provider's model, which runs on none of them, and for other models there than here.
    """
    given = {name: value for name, value in loading.items() if value is not None}
    reranker = load_reranker(model, **given)
    if not reranker.runs_here:
        raise InputError(
            "A provider's model does not run on Ray",
            where=model,
            why="its provider runs it",
            fix="Leave --on ray out.",
        )
    with ActorPool(runtime, ScoreWorker, [model, given], actors=actors) as pool:
        check_models(pool.about, reranker.identity or "")
        yield RayReranker(reranker, pool, progress)


class RayEncoder:
    """The bundled embedder, with texts encoded by the actors of a pool."""

    def __init__(self, embedder: Embedder, pool: ActorPool) -> None:
        self.name, self.digest = embedder.name, embedder.digest
        self.dimension = embedder.dimension
        self._pool = pool

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return unit vectors, float32 [texts, dimension]."""
        starts = range(0, len(texts), _TEXTS_EACH)
        parts = ([list(texts[start : start + _TEXTS_EACH])] for start in starts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start, part in zip(starts, self._pool.map("encode", parts), strict=True):
            vectors[start : start + len(part)] = part
        return vectors


@contextmanager
def ray_encoder(runtime: RayRuntime, *, actors: int | None = None) -> Iterator[RayEncoder]:
    """Yield the bundled embedder, loaded by each actor."""
    embedder = Embedder()
    with ActorPool(runtime, EncodeWorker, [], actors=actors) as pool:
        check_models(pool.about, embedder.digest)
        yield RayEncoder(embedder, pool)
