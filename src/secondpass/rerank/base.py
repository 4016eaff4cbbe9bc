"""The contract of every reranker: how scores become a response.

Results that are likely enough to be relevant.

From scores to results: the order of a response.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Unpack

from secondpass.errors import InputError, ModelError
from secondpass.observe import stage
from secondpass.options import RerankOptions
from secondpass.rerank.inputs import (
    DocumentLike,
    check_count,
    check_fields,
    check_number,
    check_probability,
    check_query,
    to_candidates,
)
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import PassageAggregation, parse_passages
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
    from secondpass.rerank.precomputed.store import StateStore


def likely(
    results: Sequence[RankedDocument], least: float, model: str
) -> tuple[list[RankedDocument], str | None]:
    """Return the results with a probability of at least `least`, and why there are none.

    What was not scored has no probability and is dropped with them; where nothing was scored
    at all, since something else stood in for the model, everything stays. Raises `InputError`
    for a model that scores without giving probabilities.
    """
    if not any(r.scored for r in results):
        return [*results], None
    if any(r.scored and r.probability is None for r in results):
        raise InputError(
            "min_probability cannot be applied",
            where=f"model {model}",
            why="it gives no probabilities",
            fix="Calibrate it with: secondpass calibrate",
        )
    kept = [r for r in results if r.probability is not None and r.probability >= least]
    if kept or not results:
        return kept, None
    best = max((r.probability for r in results if r.probability is not None), default=0.0)
    return [], (
        f"no good answer: the likeliest of {len(results)} has a probability of {best:.3f}, "
        f"and at least {least:g} was asked for"
    )


def ranked(
    candidates: Sequence[Candidate], scored: Scored, return_documents: bool
) -> list[RankedDocument]:
    """Return the candidates by falling score; ties by first-stage rank, then by id.

    Raises ModelError for a score that is not a finite number.
    """
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


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """One window of a document's body: where it stands, in characters, and its score."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, slots=True)
class Score:
    """One document's score, and how it was read (see `RankedDocument`).

    One with `scored=False` has at most the lowest `value` of those that were scored. `raw` is
    the score before a calibration bent the scale, None where nothing did; `seen` has the
    windows one by one, where the reranker tells them.
    """

    value: float
    probability: float | None = None
    windows: int = 1
    unread: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    scored: bool = True
    raw: float | None = None
    seen: tuple[ReadWindow, ...] = ()


def seen_windows(
    spans: Sequence[tuple[int, int]], values: Sequence[float]
) -> tuple[ReadWindow, ...]:
    """Return the windows of one document with their scores."""
    pairs = zip(spans, values, strict=True)
    return tuple(ReadWindow(start, end, value) for (start, end), value in pairs)


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of all candidates, in the order of the candidates.

    - `model`: which model gave them, if another than the reranker's own.
    - `threshold`: False where they are not on the scale that a caller's `min_score` means,
      because something else stood in; nothing is dropped then.
    - `requests`, `searches`, `cost`: see `Usage`.
    """

    scores: Sequence[Score]
    kind: ScoreKind
    pairs: int = 0
    tokens: int = 0
    status: Status = Status.RERANKED
    reason: str | None = None
    model: str | None = None
    threshold: bool = True
    requests: int = 0
    searches: float = 0.0
    cost: float | None = None


class ScoringJob(NamedTuple):
    """The arguments of `BaseReranker.score`."""

    query: str
    candidates: Sequence[Candidate]
    reading: ScoringOptions


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
    def identity(self) -> str | None:
        """What tells this reranker's scores from those of any other, or None.

        A text that changes with everything that can change the score of a pair: weights,
        precision, calibration, limits. The query, the texts and the `ScoringOptions` are not part
        of it. None, the default, means that nobody may keep the scores.
        """
        return None

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """The weights that suit this model in a `Blend`; None where nobody fitted any."""
        return None

    def with_states(self, store: StateStore) -> BaseReranker:
        """Return this reranker, keeping what it computes of documents in a store.

        A backend that keeps nothing is returned as it is, and so is one that the store does
        not belong to; a policy hands the store on to all that it wraps.
        """
        return self

    @abstractmethod
    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score at least one candidate for a query that is not empty.

        Must not depend on which other candidates are in the list unless the kind of score
        is `ScoreKind.RANK`, must not change them, and must be safe to call from several
        threads at once.
        """

    def score_together(self, asked: Sequence[ScoringJob]) -> list[Scored]:
        """Do as `score` for each of several queries, in fewer runs of the model if it can.

        The scores are those that each query would have had alone.
        """
        return [self.score(*one) for one in asked]

    def rerank(
        self,
        query: str,
        documents: Iterable[DocumentLike],
        *,
        top_k: int | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        fields: Sequence[str] | None = None,
        template: str | None = None,
        max_length: int | None = None,
        passages: str | PassageAggregation | None = None,
        return_documents: bool = True,
    ) -> RerankResponse:
        """Put the documents in the order of their relevance to the query.

        - `documents`: texts, mappings, `Document`s or `Candidate`s, best of the first
          stage first. An empty list gives an empty response with status "skipped".
        - `top_k`: keep this many, at least 1; None keeps all.
        - `min_score`: drop what scores lower (on the scale of `score`); 0.0 is a value.
          What was not scored (see `RankedDocument.scored`) is dropped too. Nothing is
          dropped where a fallback stood in, whose scores are on another scale.
        - `min_probability`: drop what is less likely to be relevant, 0 to 1, and what was not
          scored. Where nothing is left, the results are empty and `reason` says so; where
          a fallback stood in, nothing is dropped. See `Calibrated` for probabilities that
          fit your data.
        - `fields`, `template`, `max_length`: what the model reads, see `ScoringOptions`.
        - `passages`: how long documents are read: "max", "mean", "first", "top-N-mean" or
          a `PassageAggregation`.
        - `return_documents`: False leaves `document` None in the results; ids stay.

        Raises `InputError` for arguments that cannot be used and `ModelError` if the model
        fails.
        """
        started = time.perf_counter()
        query = check_query(query)
        top_k = check_count("top_k", top_k)
        min_score = check_number("min_score", min_score)
        min_probability = check_probability("min_probability", min_probability)
        reads_text = fields is None and template is None
        candidates = to_candidates(documents, text_needed=reads_text)
        reading = ScoringOptions(
            check_fields(fields),
            template,
            max_length,
            parse_passages(passages),
            top_k=top_k,
            started=started,
        )
        if candidates:
            reading.check([c.document for c in candidates])
            count = len(candidates)
            with stage(
                "rerank", query=query, model=self.model, documents=count, top_k=top_k
            ) as told:
                scored = self.score(query, candidates, reading)
                told |= {"tokens": scored.tokens, "status": scored.status.value}
        else:
            nothing = "there were no documents"
            scored = Scored((), ScoreKind.RANK, status=Status.SKIPPED, reason=nothing)
        results = ranked(candidates, scored, return_documents)
        if not scored.threshold:
            min_score = min_probability = None
        kept = [r for r in results if min_score is None or (r.scored and r.score >= min_score)]
        reason = scored.reason
        if min_probability is not None:
            kept, missed = likely(kept, min_probability, self.model)
            reason = missed if reason is None else reason
        elapsed = (time.perf_counter() - started) * 1000
        return RerankResponse(
            query=query,
            model=_made_by(self.model, scored),
            status=scored.status,
            results=tuple(kept[:top_k]),
            timings={"rerank": elapsed, "total": elapsed},
            usage=Usage(
                documents=len(candidates),
                scored=sum(s.scored for s in scored.scores),
                pairs=scored.pairs,
                tokens=scored.tokens,
                truncated=sum(s.unread > 0 for s in scored.scores),
                requests=scored.requests,
                searches=scored.searches,
                cost=scored.cost,
            ),
            reason=reason,
        )

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in a worker thread, without blocking the event loop."""
        return await asyncio.to_thread(self.rerank, query, documents, **options)


def _made_by(model: str, scored: Scored) -> str | None:
    if scored.status is Status.FALLBACK:
        return None
    return model if scored.model is None else scored.model
