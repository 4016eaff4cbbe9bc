"""The values that pass between the stages: frozen, typed, without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ScoreKind(StrEnum):
    """What a score means, so that nobody squashes or thresholds it twice."""

    LOGIT = "logit"
    """Log-odds of relevance: any real number, 0 is even odds."""
    PROBABILITY = "probability"
    """Chance of being relevant, 0 to 1."""
    SIMILARITY = "similarity"
    """Closeness, such as a cosine from -1 to 1; not a probability."""
    RANK = "rank"
    """Only the order within one response means anything."""


class Status(StrEnum):
    """What happened to the order of a response."""

    RERANKED = "reranked"
    PARTIALLY_RERANKED = "partially_reranked"
    FALLBACK = "fallback"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an optional id, title and metadata.

    `metadata` holds any further fields (year, author, body, …); a reranker reads them
    when it is told to by `fields` or `template`, and an index can filter on those that
    are text, numbers, booleans or dates.
    """

    text: str
    id: str | None = None
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document as the first stage found it.

    `score` is what the first stage ordered by; `bm25` and `vector` are the scores of its
    two halves, where it has them; `rank` is 1-based. Any of them may be absent.
    """

    document: Document
    score: float | None = None
    rank: int | None = None
    bm25: float | None = None
    vector: float | None = None


@dataclass(frozen=True, slots=True)
class FirstStageScores:
    """Where a document stood before the second pass: `rank` is 1-based."""

    rank: int
    score: float | None = None
    bm25: float | None = None
    vector: float | None = None


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One result of a second pass (or of a search).

    - `index`: the position in the caller's list, from 0; `rank`: the new position, from 1.
    - `score`: what the results are ordered by; `score_kind` says how to read it.
    - `probability`: the chance of relevance, 0 to 1, by the model itself or, with a
      calibration, by the user's labels; None where there is none.
    - `document`: None when `return_documents=False`; `id` stays.
    - `truncated`: whether any of the text was not read; `unread`: how many characters of
      it were not; `windows`: in how many pieces it was read.
    - `parts`: what each stage added to `score`, where several were combined.
    - `scored`: False where the second pass did not score it to its end. Behind one that a
      policy left out stands at most the lowest score that was given, `score_kind` is
      `ScoreKind.RANK`, `probability` None and `windows` 0.
    """

    index: int
    rank: int
    score: float
    score_kind: ScoreKind
    first_stage: FirstStageScores
    id: str | None = None
    document: Document | None = None
    probability: float | None = None
    windows: int = 1
    unread: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    scored: bool = True

    @property
    def first_stage_rank(self) -> int:
        """The 1-based rank before the second pass."""
        return self.first_stage.rank

    @property
    def truncated(self) -> bool:
        """Whether any of the document's text was not read by the model."""
        return self.unread > 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a response cost.

    `documents`: how many were given; `scored`: how many of them have the model's score, from
    a cache or not; `pairs`: how many (query, window) pairs models read; `tokens`: how many
    tokens those had, the query counted in each (for a reader: how many it encoded, the query
    counted once and windows that it had kept not at all); `truncated`: how many documents
    were not read to their end.

    Of hosted models also `requests`: how many were answered; `searches`: how many the
    provider billed, where it bills those; `cost`: US dollars by the table of prices, None
    where no price is known. A provider that does not count tokens has 0.
    """

    documents: int = 0
    scored: int = 0
    pairs: int = 0
    tokens: int = 0
    truncated: int = 0
    requests: int = 0
    searches: float = 0.0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """An ordered list of results, and how it came about.

    `results` is sorted by falling score; ties stand in first-stage order, then by id.
    `status` says whether the second pass really made this order and `reason` why not, or
    what went wrong on the way. `model` made it; None where none did.
    `timings` is in milliseconds, by stage, always with "total".
    """

    query: str
    model: str | None
    status: Status
    results: tuple[RankedDocument, ...]
    timings: Mapping[str, float]
    usage: Usage
    reason: str | None = None
