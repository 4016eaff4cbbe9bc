"""What an explanation says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from secondpass.retrieve.bm25 import TermScore
from secondpass.types import Document


@dataclass(frozen=True, slots=True)
class Places:
    """Where a document stands among the candidates by each stage alone, from 1.

    None where a stage says nothing. `first` is the first pass's order, `final` the one
    that a search shows.
    """

    candidates: int
    bm25: int | None
    vector: int | None
    first: int | None
    reranker: int
    final: int


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """A window that the reranker read: characters [start, end) of the text, and its score."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the query, the title or the text, and what it adds to the score.

    `contribution` is the score of the whole less the score without the span; `where` is
    "query", "title" or "text", `level` "sentence" or "word"; `start` and `end` are
    characters of that field.
    """

    where: str
    level: str
    start: int
    end: int
    text: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Whether the spans that are said to matter really do.

    `drop` is what the score loses without the top spans (`removed` of `words` words),
    `random` what it loses on average without random other spans of as many words, with the
    5th and 95th percentile; `beaten` is the share of random removals that lose as much.
    """

    drop: float
    random: float
    random_low: float
    random_high: float
    beaten: float
    removed: int
    words: int
    rounds: int

    @property
    def holds(self) -> bool:
        """Whether the top spans matter more than nineteen in twenty random ones."""
        return self.drop > self.random_high


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Where the document would stand after a change, all else being equal.

    `bm25` is None where the change's effect on it is not known, and it was left as it was.
    """

    change: str
    rank: int
    score: float
    bm25: float | None
    vector: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document is where it is.

    - `found`: whether the first pass handed it over; if not, the rest says what would be if
      it had. None without an index, where only the reranker speaks.
    - `terms` sum to `bm25`; `parts` sum to `final_score`, where a blend made it.
    - `score`: the reranker's, of which `spans` are the contributions.
    - `notes`: what was not possible, and why.
    """

    query: str
    document: Document
    model: str
    found: bool | None
    score: float
    score_kind: str
    probability: float | None
    final_score: float
    places: Places | None = None
    bm25: float | None = None
    vector: float | None = None
    terms: tuple[TermScore, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    windows: tuple[ReadWindow, ...] = ()
    spans: tuple[Span, ...] = ()
    faithfulness: Faithfulness | None = None
    counterfactuals: tuple[Counterfactual, ...] = ()
    notes: tuple[str, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """Return the explanation as one JSON object."""
        return asdict(self)
