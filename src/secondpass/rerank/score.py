"""Scores of documents, as rerankers return them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind, Status


@dataclass(frozen=True, slots=True)
class WindowScore:
    """One window of a document's body: `start` and `end` in characters, and its score."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one document.

    - `value`: higher is better; finite. `Scored.kind` says what it means.
    - `probability`: the chance of relevance, 0 to 1, None where the model gives none.
    - `windows`: in how many pieces the text was read; `unread`: how many of its characters
      were not read.
    - `parts`: what each stage added to `value`, by name, where several were combined.
    - `scored`: False where the model did not score it; `value` is then at most the lowest of
      those that were scored.
    - `raw`: the score before a calibration changed the scale, None without one.
    - `window_scores`: the score of each window, where the reranker gives them.
    """

    value: float
    probability: float | None = None
    windows: int = 1
    unread: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    scored: bool = True
    raw: float | None = None
    window_scores: tuple[WindowScore, ...] = ()


def make_window_scores(
    spans: Sequence[tuple[int, int]], values: Sequence[float]
) -> tuple[WindowScore, ...]:
    """Return the windows of one document, in characters, with their scores."""
    pairs = zip(spans, values, strict=True)
    return tuple(WindowScore(start, end, value) for (start, end), value in pairs)


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of all candidates of one query.

    - `scores`: one for each candidate, in the order of the candidates.
    - `kind`: what the values mean.
    - `pairs`: how many (query, window) pairs the model read; `tokens`: of how many tokens.
      `query_tokens` of these are the query's, where it is read once for all pairs.
    - `status`, `reason`: what happened, as in `RerankResponse`.
    - `model`: which model gave the scores, if not the reranker's own.
    - `thresholds_apply`: False where a fallback gave the scores, so that `min_score` and
      `min_probability`, which are meant for the scale of the model, drop nothing.
    - `requests`, `searches`, `cost`: of hosted models, see `Usage`.
    """

    scores: Sequence[Score]
    kind: ScoreKind
    pairs: int = 0
    tokens: int = 0
    status: Status = Status.RERANKED
    reason: str | None = None
    model: str | None = None
    thresholds_apply: bool = True
    requests: int = 0
    searches: float = 0.0
    cost: float | None = None
    query_tokens: int = 0


SpanSource = Literal["states", "reading"]
"""How spans are found: from the stored states of tokens, or by reading sentences."""


class ScoringJob(NamedTuple):
    """The arguments of `BaseReranker.score`, for one query of several."""

    query: str
    candidates: Sequence[Candidate]
    options: ScoringOptions
