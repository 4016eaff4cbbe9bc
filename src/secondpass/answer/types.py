"""Types of answers: the answer, its passages and its citations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from secondpass.types import Span


class AnswerStatus(StrEnum):
    """How an answer was made."""

    GENERATED = "generated"
    """A language model wrote it."""
    EXTRACTIVE = "extractive"
    """It is verbatim sentences of the passages."""
    NOT_FOUND = "not_found"
    """The documents do not hold an answer."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a conversation; `role` is "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that an answer may cite, by its `number` from 1.

    - `ids`: the search results that it was merged from; `rank`: their best rank.
    - `probability`: their highest one, or None where the reranker gives none.
    - `highlight`: [start, end) in characters of the sentence that answers best, where
      sentences were scored; `spans`: that one and others, best first, where the reranker gives
      spans (`RankedDocument.spans`).
    """

    number: int
    text: str
    ids: tuple[str, ...]
    rank: int
    title: str | None = None
    probability: float | None = None
    highlight: tuple[int, int] | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A citation of `passage`, at character `start` of the answer's text.

    `supported` is whether the words of the sentence before it occur in the passage (see
    `answer.citations`); False is a reason to read the passage, not a proof of an error.
    """

    number: int
    start: int
    passage: Passage
    supported: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its passages and citations.

    - `text`: with numbers in brackets; `citations`: those numbers, in order.
    - `passages`: all that the answer could cite, by number.
    - `removed`: numbers that the model cited and that belong to no passage.
    - `searched`: the query that was searched for, if it was rewritten.
    - `probability`: the highest of all results, or None.
    - `tokens`: used by the language model; `timings`: milliseconds by stage.
    - `reason`: what went wrong, or why there is no answer.
    """

    query: str
    text: str
    status: AnswerStatus
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    removed: tuple[int, ...] = ()
    model: str | None = None
    searched: str | None = None
    probability: float | None = None
    tokens: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
