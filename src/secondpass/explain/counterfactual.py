"""Where a document would stand after a change, all else being equal.

The order that known scores make, so that a change needs no second reading of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from secondpass.explain.occlusion import Cut, Scores
from secondpass.explain.types import Counterfactual, Places, Span
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.blend import Blend
from secondpass.rerank.scoring_options import ScoringOptions, field_text
from secondpass.retrieve.bm25 import BM25Model
from secondpass.retrieve.store_protocol import TextEncoder, searchable
from secondpass.types import Candidate, Document, RankedDocument

Weights = bool | Mapping[str, float]


class KnownScores(BaseReranker):
    """Gives scores that were computed before, in the order of the candidates."""

    def __init__(self, reranker: BaseReranker, scored: Scored) -> None:
        self.reranker, self.scored = reranker, scored

    @property
    def model(self) -> str:
        """The name of the reranker that gave the scores."""
        return self.reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend that gave the scores."""
        return self.reranker.base

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores; there must be one for each candidate."""
        return self.scored


def order(
    query: str, candidates: Sequence[Candidate], known: KnownScores, blend: Weights
) -> list[RankedDocument]:
    """Return the results, best first, as a search would show them."""
    weights = None if isinstance(blend, bool) else blend
    policy = known if blend is False else Blend(known, weights)
    return list(policy.rerank(query, candidates).results)


def places(
    candidates: Sequence[Candidate], scored: Scored, target: int, final: int, found: bool
) -> Places:
    """Return where the candidate at position `target` stands by each stage alone."""
    return Places(
        candidates=len(candidates),
        bm25=_place([c.bm25 for c in candidates], target),
        vector=_place([c.vector for c in candidates], target),
        first=candidates[target].rank if found else None,
        reranker=_place([s.value for s in scored.scores], target) or 1,
        final=final,
    )


def _place(values: Sequence[float | None], target: int) -> int | None:
    own = values[target]
    if own is None:
        return None
    return 1 + sum(v is not None and v > own for v in values)


_SENTENCES = 3
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """A document among its candidates, and all that is needed to place a change of it."""

    query: str
    candidates: Sequence[Candidate]
    target: int
    reranker: BaseReranker
    scored: Scored
    blend: Weights
    embedder: TextEncoder
    bm25: BM25Model | None

    def after(self, change: str, document: Document, score: float) -> Counterfactual:
        """Return where the document would stand if it were this one, with this score."""
        before = self.candidates[self.target]
        text = searchable(document.title, document.text)
        bm25 = None if self.bm25 is None else self.bm25.score(text)
        vector = before.vector
        if vector is not None:
            question, here = self.embedder.encode([self.query, text]).astype(np.float64)
            lengths = float(np.linalg.norm(question) * np.linalg.norm(here))
            vector = float(question @ here) / lengths if lengths else 0.0
        changed = replace(
            before,
            document=document,
            bm25=before.bm25 if bm25 is None else bm25,
            vector=vector,
        )
        candidates, scores = list(self.candidates), list(self.scored.scores)
        candidates[self.target] = changed
        scores[self.target] = replace(scores[self.target], value=score)
        known = KnownScores(self.reranker, replace(self.scored, scores=scores))
        (result,) = (
            r
            for r in order(self.query, candidates, known, self.blend)
            if r.index == self.target
        )
        return Counterfactual(change, result.rank, result.score, bm25, vector)


def counterfactuals(
    standing: Standing,
    spans: Sequence[Span],
    scores: Scores,
    fields: Sequence[str] | None = None,
) -> list[Counterfactual]:
    """Return where it would stand without its title, and without each of its best sentences.

    The best are the three that add most, if they add anything; a text of one sentence is
    not taken away. With `fields`, each of those that the document has is left out in turn,
    where another one is left to read.
    """
    document = standing.candidates[standing.target].document
    had = [n for n in dict.fromkeys(fields or ()) if field_text(document, n)]
    bare = [(f"without its {n}", without_field(document, n)) for n in had if len(had) > 1]
    whole = [s for s in spans if s.level == "sentence"]
    inside = [s for s in whole if s.where == "text"]
    best = sorted(inside, key=lambda s: -s.contribution)[:_SENTENCES]
    chosen = [s for s in whole if s.where == "title" and fields is None]
    chosen += [s for s in best if s.contribution > 0] if len(inside) > 1 else []
    cut = [(_named(s), Cut(**{s.where: ((s.start, s.end),)}).of(document)) for s in chosen]
    changes = [*bare, *cut]
    return [
        standing.after(named, variant, score)
        for (named, variant), score in zip(
            changes, scores([d for _, d in changes]), strict=True
        )
    ]


def without_field(document: Document, name: str) -> Document:
    """Return the document without its text, title or id, or one of its metadata."""
    if name == "text":
        return replace(document, text="")
    return replace(
        document,
        title=None if name == "title" else document.title,
        id=None if name == "id" else document.id,
        metadata={key: value for key, value in document.metadata.items() if key != name},
    )


def _named(span: Span) -> str:
    if span.where == "title":
        return "without its title"
    text = " ".join(span.text.split())
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return f"without “{shown}”"
