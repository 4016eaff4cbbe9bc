"""Responses that more than one route has: rankings, and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from secondpass.errors import SecondpassError
from secondpass.server.api_v1.schemas import DocumentBody
from secondpass.server.http_errors import HttpError
from secondpass.types import Document, RankedDocument, RerankResponse, Span, Usage


@dataclass
class Failure:
    """Why a request failed: a short name, a sentence, and the request's id.

    `what` failed, `where`, `why`, and how to `fix` it are the parts of the sentence, where it
    has parts.
    """

    error: str
    message: str
    id: str
    what: str | None = None
    where: str | None = None
    why: str | None = None
    fix: str | None = None


def error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error as JSON content."""
    failure = Failure(error.kind, error.message, request_id, what=error.message)
    cause = error.__cause__
    # Other messages leave out what clients must not know, such as folders of this machine.
    if isinstance(cause, SecondpassError) and str(cause) == error.message:
        failure.what, failure.where = cause.what, cause.where
        failure.why, failure.fix = cause.why, cause.fix
    return asdict(failure)


@dataclass
class FirstStage:
    """Where a document stood before the second pass: `rank` from 1, and by which scores."""

    rank: int
    score: float | None
    bm25: float | None
    vector: float | None


@dataclass
class SpanBody:
    """A sentence: [start, end) in the document's text, in Unicode code points.

    `score` is its log-odds; `probability` is the chance that it answers, if a sentence of
    this document does.
    """

    start: int
    end: int
    score: float
    probability: float


@dataclass
class Result:
    """A document, its rank and its scores.

    `index` is the position in the request's list; `score` is what the results are
    ordered by, and `score_kind` says how to read it: "logit", "probability", "similarity",
    or "rank", of which only the order within one response means anything. A passage of a
    longer document has that document's id as `document_id` and its number there as `chunk`,
    from 1; else they are `id` and 0. `probability` is the chance of relevance. `unread` counts
    characters that the model did not read, `windows` in how many windows it read the others;
    `parts` is what each stage added to the score. `spans` are the sentences that answer, best
    first, where the request asked for them; `best_window` is [start, end) of the window with
    the highest score in the document's text, null where that is not known.
    """

    index: int
    rank: int
    id: str | None
    document_id: str | None
    chunk: int
    score: float
    score_kind: str
    probability: float | None
    scored: bool
    unread: int
    windows: int
    first_stage: FirstStage
    parts: dict[str, float]
    spans: list[SpanBody]
    best_window: list[int] | None
    document: DocumentBody | None


@dataclass
class Ranking:
    """The results, best first, and how they came about.

    `status` is "reranked", "partially_reranked", "fallback" or "skipped", and `reason` why;
    `query_unread` counts characters of the query that were not read; `warnings` says in
    sentences what was not read of the query and of the documents, those without a place in
    `results` included; `timings` is in milliseconds; `usage` says how much was read for it.
    """

    id: str
    query: str
    model: str | None
    status: str
    reason: str | None
    query_unread: int
    warnings: list[str]
    results: list[Result]
    timings: dict[str, float]
    usage: Usage


def write_ranking(response: RerankResponse, request_id: str) -> Ranking:
    """Return a response under a request's id."""
    return Ranking(
        id=request_id,
        query=response.query,
        model=response.model,
        status=response.status.value,
        reason=response.reason,
        query_unread=response.query_unread,
        warnings=list(response.warnings),
        results=[_result(result) for result in response.results],
        timings={name: round(ms, 3) for name, ms in response.timings.items()},
        usage=response.usage,
    )


def write_document(document: Document) -> DocumentBody:
    """Return a document as an object."""
    return DocumentBody(document.text, document.id, document.title, dict(document.metadata))


def write_spans(spans: Sequence[Span]) -> list[SpanBody]:
    """Return spans as objects."""
    return [SpanBody(*span) for span in spans]


def _result(result: RankedDocument) -> Result:
    first, document = result.first_stage, None
    if result.document is not None:
        document = write_document(result.document)
    return Result(
        index=result.index,
        rank=result.rank,
        id=result.id,
        document_id=result.document_id,
        chunk=result.chunk,
        score=result.score,
        score_kind=result.score_kind.value,
        probability=result.probability,
        scored=result.scored,
        unread=result.unread,
        windows=result.windows,
        first_stage=FirstStage(first.rank, first.score, first.bm25, first.vector),
        parts=dict(result.parts),
        spans=write_spans(result.spans),
        best_window=None if result.best_window is None else list(result.best_window),
        document=document,
    )
