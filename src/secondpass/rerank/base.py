"""The contract of every reranker: how scores become a response."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, Unpack

from secondpass.errors import ModelError
from secondpass.rerank.inputs import (
    DocumentLike,
    check_count,
    check_fields,
    check_number,
    check_query,
    to_candidates,
)
from secondpass.rerank.passages import Passages, parse_passages
from secondpass.rerank.reading import Reading
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
    from secondpass.rerank.reader.store import StateStore


@dataclass(frozen=True, slots=True)
class Score:
    """One document's score, and how it was read (see `RankedDocument`).

    One with `scored=False` has the lowest `value` of those that were scored.
    """

    value: float
    probability: float | None = None
    windows: int = 1
    unread: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    scored: bool = True


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of all candidates, in the order of the candidates."""

    scores: Sequence[Score]
    kind: ScoreKind
    pairs: int = 0
    tokens: int = 0
    status: Status = Status.RERANKED
    reason: str | None = None


class RerankOptions(TypedDict, total=False):
    """The keyword arguments of `BaseReranker.rerank`."""

    top_k: int | None
    min_score: float | None
    fields: Sequence[str] | None
    template: str | None
    max_length: int | None
    passages: str | Passages | None
    return_documents: bool


class BaseReranker(ABC):
    """What backends and policies share; a subclass says only how candidates are scored.

    A policy that wraps a reranker (blending, caching, a budget) is a subclass too, so
    that policies compose.
    """

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the model, as it appears in responses."""

    @property
    def base(self) -> BaseReranker:
        """The reranker that a policy wraps, at the bottom; a backend is its own."""
        return self

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """The weights that suit this model in a `Blend`; None where nobody fitted any."""
        return None

    def with_states(self, store: StateStore) -> BaseReranker:
        """Return this reranker, keeping what it computes of documents in a store.

        A backend that keeps nothing is returned as it is; a policy hands the store on to
        what it wraps.
        """
        return self

    @abstractmethod
    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score at least one candidate for a query that is not empty.

        Must not depend on which other candidates are in the list unless the kind of score
        is `ScoreKind.RANK`, must not change them, and must be safe to call from several
        threads at once.
        """

    def rerank(
        self,
        query: str,
        documents: Iterable[DocumentLike],
        *,
        top_k: int | None = None,
        min_score: float | None = None,
        fields: Sequence[str] | None = None,
        template: str | None = None,
        max_length: int | None = None,
        passages: str | Passages | None = None,
        return_documents: bool = True,
    ) -> RerankResponse:
        """Put the documents in the order of their relevance to the query.

        - `documents`: texts, mappings, `Document`s or `Candidate`s, best of the first
          stage first. An empty list gives an empty response with status "skipped".
        - `top_k`: keep this many, at least 1; None keeps all.
        - `min_score`: drop what scores lower (on the scale of `score`); 0.0 is a value.
          What was not scored (see `RankedDocument.scored`) is dropped too.
        - `fields`, `template`, `max_length`: what the model reads, see `Reading`.
        - `passages`: how long documents are read: "max", "mean", "first", "top-N-mean" or
          a `Passages`.
        - `return_documents`: False leaves `document` None in the results; ids stay.

        Raises `InputError` for arguments that cannot be used and `ModelError` if the model
        fails.
        """
        started = time.perf_counter()
        query = check_query(query)
        top_k = check_count("top_k", top_k)
        min_score = check_number("min_score", min_score)
        reads_text = fields is None and template is None
        candidates = to_candidates(documents, text_needed=reads_text)
        reading = Reading(check_fields(fields), template, max_length, parse_passages(passages))
        if candidates:
            scored = self.score(query, candidates, reading)
        else:
            nothing = "there were no documents"
            scored = Scored((), ScoreKind.RANK, status=Status.SKIPPED, reason=nothing)
        results = _ranked(candidates, scored, return_documents)
        kept = [r for r in results if min_score is None or (r.scored and r.score >= min_score)]
        elapsed = (time.perf_counter() - started) * 1000
        return RerankResponse(
            query=query,
            model=self.model,
            status=scored.status,
            results=tuple(kept[:top_k]),
            timings={"rerank": elapsed, "total": elapsed},
            usage=Usage(
                documents=len(candidates),
                scored=sum(s.scored for s in scored.scores),
                pairs=scored.pairs,
                tokens=scored.tokens,
                truncated=sum(s.unread > 0 for s in scored.scores),
            ),
            reason=scored.reason,
        )

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in a worker thread, without blocking the event loop."""
        return await asyncio.to_thread(self.rerank, query, documents, **options)


def _ranked(
    candidates: Sequence[Candidate], scored: Scored, return_documents: bool
) -> list[RankedDocument]:
    for position, score in enumerate(scored.scores):
        if not math.isfinite(score.value):
            raise ModelError(
                f"The model scored document {position} with {score.value}",
                fix="Run: secondpass doctor",
            )
    ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]

    def order(i: int) -> tuple[float, bool, int, str, int]:
        score, name = scored.scores[i], candidates[i].document.id or ""
        return (-score.value, not score.scored, ranks[i], name, i)

    return [
        _result(rank, i, candidates[i], ranks[i], scored, return_documents)
        for rank, i in enumerate(sorted(range(len(candidates)), key=order), start=1)
    ]


def _result(
    rank: int,
    index: int,
    candidate: Candidate,
    first_rank: int,
    scored: Scored,
    return_documents: bool,
) -> RankedDocument:
    score = scored.scores[index]
    first = FirstStageScores(first_rank, candidate.score, candidate.bm25, candidate.vector)
    return RankedDocument(
        index=index,
        rank=rank,
        score=score.value,
        # A score that no model gave can be compared with nothing outside its response.
        score_kind=scored.kind if score.scored else ScoreKind.RANK,
        first_stage=first,
        id=candidate.document.id,
        document=candidate.document if return_documents else None,
        probability=score.probability,
        windows=score.windows,
        unread=score.unread,
        parts=score.parts,
        scored=score.scored,
    )
