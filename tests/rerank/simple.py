"""Small real rerankers whose scores a test can foresee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondpass import BaseReranker, Candidate, Document, ScoreKind, Status
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions


class Numbers(BaseReranker):
    """Scores a document by the number that its text is; remembers what it was asked."""

    def __init__(
        self,
        kind: ScoreKind = ScoreKind.LOGIT,
        identity: str | None = "numbers",
        *,
        times: float = 1.0,
        status: Status = Status.RERANKED,
        reason: str | None = None,
    ) -> None:
        self.kind, self._identity, self.times = kind, identity, times
        self.status, self.reason = status, reason
        self.asked: list[list[str]] = []

    @property
    def model(self) -> str:
        return "numbers"

    @property
    def identity(self) -> str | None:
        return self._identity

    @property
    def read(self) -> int:
        return sum(map(len, self.asked))

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        texts = [body for _, body in options.texts(candidates)]
        self.asked.append(texts)
        scores = [Score(self.times * float(text), 0.5) for text in texts]
        return Scored(
            scores,
            self.kind,
            pairs=len(texts),
            tokens=2 * len(texts),
            status=self.status,
            reason=self.reason,
        )


def numbered(values: Sequence[float]) -> list[Candidate]:
    return [Candidate(Document(repr(float(value)))) for value in values]


class ByText(BaseReranker):
    """Gives each document the score that was told for its text, and notes what it was asked."""

    def __init__(self, name: str, **scores: float | None) -> None:
        self.name, self.scores = name, scores
        self.asked: list[list[str]] = []
        self.top_k: list[int | None] = []

    @property
    def model(self) -> str:
        return self.name

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        texts = [candidate.document.text for candidate in candidates]
        self.asked.append(texts)
        self.top_k.append(options.top_k)
        values = [self.scores[text] for text in texts]
        low = min((v for v in values if v is not None), default=0.0)
        scores = [Score(low if v is None else v, scored=v is not None) for v in values]
        return Scored(scores, ScoreKind.LOGIT, pairs=len(scores), tokens=10 * len(scores))


class Probable(ByText):
    """A `ByText` whose scores are log-odds."""

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        scored = super().score(query, candidates, options)
        scores = [replace(s, probability=sigmoid(s.value)) for s in scored.scores]
        return replace(scored, scores=scores)
