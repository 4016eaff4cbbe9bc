"""Counterfactuals: the rank a document would have after a change, all else being equal.

The scores of the other candidates are known, so only the changed document is scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secondpass.explain.occlusion import Deletion, ScoreVariants
from secondpass.explain.types import Counterfactual, Span, StageRanks
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions, field_text
from secondpass.retrieve.bm25 import BM25Model
from secondpass.retrieve.store_protocol import TextEncoder, searchable
from secondpass.types import Candidate, Document, RankedDocument, ScoreKind, Status

BlendOption = bool | Mapping[str, float]
"""The `blend` option of `Index.search`."""
Policies = Callable[[BaseReranker], BaseReranker]
"""Puts the policies of a search around a reranker: the blend and the boosts."""

_MAX_SENTENCES = 3
_MAX_QUOTED_CHARACTERS = 60


class KnownScores(RerankerWrapper):
    """A reranker that returns scores computed before, in the order of the candidates."""

    def __init__(self, reranker: BaseReranker, scored: Scored) -> None:
        super().__init__(reranker)
        self.scored = scored

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores; there must be one for each candidate."""
        return self.scored


class RememberedScores(RerankerWrapper):
    """A reranker that reads each document once, by its `fields`, for one query.

    Where it scores whole lists, or another one stands in for it, it reads all of them again.
    """

    def __init__(self, reranker: BaseReranker, fields: tuple[str, ...] | None = None) -> None:
        super().__init__(reranker)
        self._fields = fields
        # By identity: documents with lists or objects as metadata have no hash.
        self._known: dict[int, tuple[Document, Score]] = {}
        self._last: Scored | None = None

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores, of which those of documents that were read before are known."""
        options = replace(options, fields=self._fields)
        missing = [c for c in candidates if id(c.document) not in self._known]
        if missing or self._last is None:
            scored = self.reranker.score(query, missing, options)
            if scored.kind is ScoreKind.RANK or scored.status is Status.FALLBACK:
                whole = len(missing) == len(candidates)
                return scored if whole else self.reranker.score(query, candidates, options)
            for candidate, score in zip(missing, scored.scores, strict=True):
                self._known[id(candidate.document)] = candidate.document, score
            self._last = scored
        known = [self._known[id(c.document)][1] for c in candidates]
        return replace(self._last, scores=known)


def rank_known_scores(
    query: str, candidates: Sequence[Candidate], known: KnownScores, policies: Policies
) -> list[RankedDocument]:
    """Return the results, best first, as a search would rank them."""
    return list(policies(known).rerank(query, candidates).results)


def stage_ranks(
    candidates: Sequence[Candidate], scored: Scored, target: int, final: int, found: bool
) -> StageRanks:
    """Return the ranks that each stage alone gives the candidate at position `target`."""
    return StageRanks(
        candidates=len(candidates),
        bm25=_rank([c.bm25 for c in candidates], target),
        vector=_rank([c.vector for c in candidates], target),
        first=candidates[target].rank if found else None,
        reranker=_rank([s.value for s in scored.scores], target) or 1,
        final=final,
    )


def _rank(values: Sequence[float | None], target: int) -> int | None:
    own = values[target]
    if own is None:
        return None
    return 1 + sum(value is not None and value > own for value in values)


@dataclass(frozen=True, slots=True)
class ScoredCandidates:
    """A query's candidates with their scores, of which the one at `target` is explained."""

    query: str
    candidates: Sequence[Candidate]
    target: int
    reranker: BaseReranker
    scored: Scored
    policies: Policies
    embedder: TextEncoder | None
    bm25: BM25Model | None

    def replace_target(self, change: str, document: Document, score: float) -> Counterfactual:
        """Return the rank that the target would have as this document with this score."""
        original = self.candidates[self.target]
        text = searchable(document.title, document.text)
        bm25 = None if self.bm25 is None else self.bm25.score(text)
        vector = original.vector
        if vector is not None and self.embedder is not None:
            vector = cosine(*self.embedder.encode([self.query, text]).astype(np.float64))
        candidates, scores = list(self.candidates), list(self.scored.scores)
        candidates[self.target] = replace(
            original,
            document=document,
            bm25=original.bm25 if bm25 is None else bm25,
            vector=vector,
        )
        scores[self.target] = replace(scores[self.target], value=score)
        known = KnownScores(self.reranker, replace(self.scored, scores=scores))
        results = rank_known_scores(self.query, candidates, known, self.policies)
        (result,) = (r for r in results if r.index == self.target)
        return Counterfactual(change, result.rank, result.score, bm25, vector)


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the cosine of two vectors, 0 if one of them is all zeros."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 0.0


def find_counterfactuals(
    ranking: ScoredCandidates,
    spans: Sequence[Span],
    score_variants: ScoreVariants,
    fields: Sequence[str] | None = None,
) -> list[Counterfactual]:
    """Return the ranks without the title, and without each of the best sentences.

    The best are the three that add most, if they add anything; a text of one sentence is
    not deleted. With `fields`, each of those that the document has is deleted in turn, if
    another one is left to read.
    """
    document = ranking.candidates[ranking.target].document
    present = [name for name in dict.fromkeys(fields or ()) if field_text(document, name)]
    changes: list[tuple[str, Document]] = []
    if len(present) > 1:
        changes += [(f"without its {name}", without_field(document, name)) for name in present]
    sentences = [s for s in spans if s.level == "sentence"]
    in_text = [s for s in sentences if s.where == "text"]
    selected = [s for s in sentences if s.where == "title" and fields is None]
    if len(in_text) > 1:
        best = sorted(in_text, key=lambda s: -s.contribution)[:_MAX_SENTENCES]
        selected += [s for s in best if s.contribution > 0]
    for span in selected:
        deletion = Deletion(**{span.where: ((span.start, span.end),)})
        changes.append((_describe_deletion(span), deletion.apply(document)))
    scores = score_variants([variant for _, variant in changes])
    return [
        ranking.replace_target(change, variant, score)
        for (change, variant), score in zip(changes, scores, strict=True)
    ]


def without_field(document: Document, name: str) -> Document:
    """Return the document without its text, title or id, or one field of its metadata."""
    if name == "text":
        return replace(document, text="")
    return replace(
        document,
        title=None if name == "title" else document.title,
        id=None if name == "id" else document.id,
        metadata={key: value for key, value in document.metadata.items() if key != name},
    )


def _describe_deletion(span: Span) -> str:
    if span.where == "title":
        return "without its title"
    text = " ".join(span.text.split())
    if len(text) > _MAX_QUOTED_CHARACTERS:
        text = text[: _MAX_QUOTED_CHARACTERS - 1] + "…"
    return f"without “{text}”"
