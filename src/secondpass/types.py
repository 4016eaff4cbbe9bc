"""Data types of queries, documents and results: immutable, without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral, Number
from typing import Any, NamedTuple
from uuid import UUID


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, or `NA` or `NaT` of pandas."""
    if value is None:
        return True
    if isinstance(value, Number):
        return bool(value != value)
    # Comparing pandas' NA with itself gives NA, which is neither true nor false.
    kind = type(value)
    return kind.__name__ in ("NAType", "NaTType") and kind.__module__.startswith("pandas.")


def to_id(value: object) -> object:
    """Return an id as text, or None for a missing one; what cannot be an id is unchanged.

    Integers of any kind (such as NumPy's) and UUIDs are converted by `str`. A whole number
    of another type is one too: 7.0 is "7", because a column of integers in which a value is
    missing consists of floats. From 2**53 on floats cannot hold all integers, and two ids
    could become the same: those are not converted.
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return None
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Number) and not isinstance(value, bool | complex):
        number: Any = value
        exact = isinstance(value, Integral) or abs(number) < 2**53
        if exact and number == int(number):
            return str(int(number))
    return value


class ScoreKind(StrEnum):
    """What a score means, and so which operations on it are valid."""

    LOGIT = "logit"
    """Log-odds of relevance: any real number, 0 is even odds."""
    PROBABILITY = "probability"
    """Probability of relevance, 0 to 1."""
    SIMILARITY = "similarity"
    """A similarity, such as a cosine from -1 to 1; not a probability."""
    RANK = "rank"
    """Only the order within one response is meaningful."""


class Status(StrEnum):
    """How the order of a response was made."""

    RERANKED = "reranked"
    """By the scores of a reranker, for all documents."""
    PARTIALLY_RERANKED = "partially_reranked"
    """By the scores of a reranker, for some of the documents; the others follow."""
    FALLBACK = "fallback"
    """By the first stage, because the reranker failed."""
    SKIPPED = "skipped"
    """By the first stage, because there was nothing to rerank."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a passage was cut from, and where.

    - `document_id`: the id of the document; `chunk`: the number of the passage there, from 1.
    - `start`, `end`: the span of the passage in the document's text, in characters.
    """

    document_id: str
    chunk: int
    start: int
    end: int


def passage_id(document_id: str, chunk: int) -> str:
    """Return the id that users see: the document's, with `#chunk` for a passage of it.

    It is for reading: a document may have the id `a#1`, as the first passage of `a` has.
    """
    return f"{document_id}#{chunk}" if chunk else document_id


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an optional id, title and metadata.

    - `metadata`: further fields by name (year, author, …). A reranker reads those that `fields`
      or `template` name, and an index can filter on those that are text, numbers, booleans or
      dates.
    - `origin`: of a passage that an index cut from a longer document; else None.
    """

    text: str
    id: str | None = None
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def document_id(self) -> str | None:
        """The id of the document that this is a passage of, or its own."""
        return self.id if self.origin is None else self.origin.document_id

    @property
    def chunk(self) -> int:
        """The number of a passage in its document, from 1; 0 for a whole document."""
        return 0 if self.origin is None else self.origin.chunk

    @property
    def key(self) -> str:
        """A name that no other passage of an index has: the id, where that is unambiguous.

        A whole document with an id like that of a passage, such as `a#1`, has `#0` behind it.
        """
        name = self.id or ""
        _, mark, number = name.rpartition("#")
        return f"{name}#0" if self.origin is None and mark and number.isdigit() else name


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document with the scores of the first stage, any of which may be None.

    - `score`: the score that the first stage sorted by; `rank`: the rank there, from 1.
    - `bm25`: the score of keyword search; `vector`: the cosine of vector search.
    """

    document: Document
    score: float | None = None
    rank: int | None = None
    bm25: float | None = None
    vector: float | None = None


@dataclass(frozen=True, slots=True)
class FirstStageScores:
    """The rank of a document before the second pass, from 1, and its scores there."""

    rank: int
    score: float | None = None
    bm25: float | None = None
    vector: float | None = None


class Span(NamedTuple):
    """A sentence of a document, and whether it answers the query.

    - `start`, `end`: [start, end) in the document's `text`, in Unicode code points.
    - `score`: log-odds of the sentence by the model; higher is better.
    - `probability`: 0 to 1; that this sentence answers, if one of the document's does.
    """

    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One result of reranking or of a search.

    - `index`: the position in the caller's list, from 0; `rank`: the new rank, from 1.
    - `score`: what the results are sorted by; `score_kind`: what it means.
    - `probability`: the probability of relevance, 0 to 1, of the model itself or of a
      calibration with the user's labels; None where there is none.
    - `first_stage`: rank and scores before the second pass.
    - `id`, `document`: of the caller; `document` is None with `return_documents=False`.
    - `document_id`: the id of the document, and `chunk`: the number of the passage there, from
      1; `id` and 0 for a whole document. A document may have the id `a#1`, as the first passage
      of `a` has: these two tell them apart.
    - `windows`: in how many windows the text was read; `unread`: how many of its characters
      were not read; `truncated`: whether there were any.
    - `parts`: what each stage added to `score`, by name, where several were combined.
    - `scored`: False where the second pass did not score it: `score` is then at most the lowest
      score of the others, `score_kind` is `ScoreKind.RANK`, `probability` is None and `windows`
      is 0.
    - `spans`: the sentences that answer, best first, without overlap; () unless `spans` asked
      for them.
    - `best_window`: [start, end) in `document.text`, in code points, of the window with the
      highest score; None where the reranker does not say, or did not read the text as the last
      field.
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
    document_id: str | None = None
    chunk: int = 0
    spans: tuple[Span, ...] = ()
    best_window: tuple[int, int] | None = None

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

    - `documents`: how many the call had; `scored`: how many have the model's score, cached or
      not; `truncated`: how many were not read whole; `unread`: how many characters of theirs
      were not read.
    - `pairs`: how many (query, window) pairs models read; `tokens`: how many tokens those had,
      the query counted in each. A precomputed reranker counts the tokens that it encoded: the
      query once, and windows with a stored record not at all. A provider that does not report
      tokens has 0.
    - `requests`, `searches`, `cost`: of hosted models, the requests that succeeded, the
      searches that the provider billed, and US dollars by the table of prices, None where no
      price is known.
    """

    documents: int = 0
    scored: int = 0
    pairs: int = 0
    tokens: int = 0
    truncated: int = 0
    unread: int = 0
    requests: int = 0
    searches: float = 0.0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """A ranked list of results, and how it was made.

    - `results`: sorted by falling score; ties in first-stage order, then by id.
    - `status`: whether the second pass made this order; `reason`: why not, or what went wrong.
    - `model`: the name of the model that made it; None where none did.
    - `timings`: milliseconds by stage, always with "total"; `usage`: what it cost.
    - `query_unread`: how many characters of the query, from its middle, were not read.
    """

    query: str
    model: str | None
    status: Status
    results: tuple[RankedDocument, ...]
    timings: Mapping[str, float]
    usage: Usage
    reason: str | None = None
    query_unread: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not read of the query and of the documents, a sentence each."""
        usage, sentences = self.usage, []
        if self.query_unread:
            sentences.append(
                f"The query is too long: {self.query_unread} of its {len(self.query)} "
                "characters, in the middle, were not read."
            )
        if usage.truncated:
            verb = "was" if usage.truncated == 1 else "were"
            sentences.append(
                f"{usage.truncated} of {usage.documents} documents {verb} not read whole: "
                f"{usage.unread} characters were not read."
            )
        return tuple(sentences)
