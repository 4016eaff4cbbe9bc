"""What an answer is made of: frozen, without input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AnswerStatus(StrEnum):
    """How an answer came about."""

    GENERATED = "generated"
    """A language model wrote it."""
    EXTRACTIVE = "extractive"
    """It is sentences of the passages, as they stand."""
    NOT_FOUND = "not_found"
    """The documents do not hold one."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said before a question: `role` is "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that an answer may cite, by its `number` from 1.

    - `ids`: those of the passages that it was merged from; `rank`: the best of theirs.
    - `probability`: the highest of theirs, or None where the reranker gives none.
    - `highlight`: [start, end) in characters of the sentence that answers best, where
      sentences were scored.
    """

    number: int
    text: str
    ids: tuple[str, ...]
    rank: int
    title: str | None = None
    probability: float | None = None
    highlight: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A number in an answer: it stands for `passage`, at `start` in the answer's text.

    `supported` is whether the words of the sentence before it stand in the passage (see
    `citing`); False is a reason to read the passage, not a proof of anything.
    """

    number: int
    start: int
    passage: Passage
    supported: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and what it rests on.

    - `text`: with numbers in brackets; `citations`: those numbers, in order.
    - `passages`: all that the answer could cite, by number.
    - `removed`: numbers that the model cited and that are no passage's.
    - `searched`: the query that was searched for, if it was rewritten.
    - `probability`: the highest of all passages found, or None.
    - `tokens`: those of the language model; `timings`: milliseconds by stage.
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
