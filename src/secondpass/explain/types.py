"""Types of explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from secondpass.retrieve.bm25 import TermScore
from secondpass.types import Document
from secondpass.types import Span as AnswerSpan


@dataclass(frozen=True, slots=True)
class StageRanks:
    """The rank of a document among the candidates by each stage alone, from 1.

    None where a stage has no score. `first` is the rank in the first pass, `final` the one
    in the results of a search.
    """

    candidates: int
    bm25: int | None
    vector: int | None
    first: int | None
    reranker: int
    final: int


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """A window that the reranker scored: characters [start, end) of the text."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Span:
    """A span of the query, the title or the text, and what it adds to the score.

    `contribution` is the score with the span less the score without it; `where` is "query",
    "title" or "text", `level` "sentence" or "word"; `start` and `end` are characters of
    that field.
    """

    where: str
    level: str
    start: int
    end: int
    text: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Whether the spans with the largest contributions matter more than random ones.

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
        """Whether the top spans lose more than 95 % of random removals do."""
        return self.drop > self.random_high


@dataclass(frozen=True, slots=True)
class Match:
    """Where a word of the query stands in the document, as keyword search compares them.

    - `word`: the word of `terms`; `where`: "title" or "text".
    - `start`, `end`: [start, end) in characters there; `text`: what is written there.
    """

    word: str
    where: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The rank that the document would have after a change, all else being equal.

    `bm25` is None where the effect of the change on it is not known; the ranking then uses
    the old one.
    """

    change: str
    rank: int
    score: float
    bm25: float | None
    vector: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document has its rank.

    - `found`: whether the first pass retrieved it; if not, the rest is what would be if it
      had. None without an index, where only the reranker is explained.
    - `places`: the rank by each stage.
    - `terms` sum to `bm25`, and `matches` are their places in the document; `parts` sum to
      `final_score`, where a blend or boosts computed it; those of boosts are named by their
      rules.
    - `score`: the reranker's, of which `spans` are the contributions.
    - `answers`: the sentences of the text that answer, best first, where the reranker gives
      spans (`RankedDocument.spans`).
    - `rescorer`: the model that read the first candidates again, which is not in `score`.
    - `notes`: what could not be explained, and why.
    """

    query: str
    document: Document
    model: str
    found: bool | None
    score: float
    score_kind: str
    probability: float | None
    final_score: float
    places: StageRanks | None = None
    bm25: float | None = None
    vector: float | None = None
    terms: tuple[TermScore, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    windows: tuple[ScoredWindow, ...] = ()
    spans: tuple[Span, ...] = ()
    faithfulness: Faithfulness | None = None
    counterfactuals: tuple[Counterfactual, ...] = ()
    notes: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    answers: tuple[AnswerSpan, ...] = ()
    rescorer: str | None = None

    def as_object(self) -> dict[str, Any]:
        """Return the explanation as one JSON object."""
        return {**asdict(self), "answers": [span._asdict() for span in self.answers]}
