"""What more than one route takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from secondpass.types import Document, RankedDocument, RerankResponse

STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
Query = Annotated[str, Field(min_length=1)]


@dataclass
class DocumentBody:
    """A text with an optional id, title and metadata, on which searches can filter."""

    __pydantic_config__ = STRICT

    text: str
    id: str | None = None
    title: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def document(self) -> Document:
        """Return it as the library has it."""
        return Document(self.text, self.id, self.title, self.metadata)


@dataclass
class FirstStage:
    """Where a document stood before the second pass: `rank` from 1, and by which scores."""

    rank: int
    score: float | None
    bm25: float | None
    vector: float | None


@dataclass
class Result:
    """A document, its place and its scores.

    `index` is the position in the list that was given; `score` is what the results are
    ordered by, and `score_kind` says how to read it: "logit", "probability", "similarity",
    or "rank", of which only the order within one answer means anything. `probability` is the
    chance of relevance. `unread` counts characters that the model did not read; `parts` is
    what each stage added to the score.
    """

    index: int
    rank: int
    id: str | None
    score: float
    score_kind: str
    probability: float | None
    scored: bool
    unread: int
    first_stage: FirstStage
    parts: dict[str, float]
    document: DocumentBody | None


@dataclass
class Ranking:
    """The results, best first, and what happened on the way.

    `status` is "reranked", "partially_reranked", "fallback" or "skipped", and `reason` why;
    `timings` is in milliseconds.
    """

    id: str
    query: str
    model: str | None
    status: str
    reason: str | None
    results: list[Result]
    timings: dict[str, float]


def ranking(response: RerankResponse, number: str) -> Ranking:
    """Return a response under a request's id."""
    return Ranking(
        id=number,
        query=response.query,
        model=response.model,
        status=response.status.value,
        reason=response.reason,
        results=[_result(result) for result in response.results],
        timings={name: round(ms, 3) for name, ms in response.timings.items()},
    )


def _result(result: RankedDocument) -> Result:
    found, first = result.document, result.first_stage
    return Result(
        index=result.index,
        rank=result.rank,
        id=result.id,
        score=result.score,
        score_kind=result.score_kind.value,
        probability=result.probability,
        scored=result.scored,
        unread=result.unread,
        first_stage=FirstStage(first.rank, first.score, first.bm25, first.vector),
        parts=dict(result.parts),
        document=None
        if found is None
        else DocumentBody(found.text, found.id, found.title, dict(found.metadata)),
    )
