"""Certain documents stand first, or last, whatever the reranker thinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.policies.score_transform import ScoreTransform
from secondpass.types import Candidate, ScoreKind


class Pinned(ScoreTransform):
    """Puts the documents with the ids of `first` on top, in that order, `last` at the end.

    Only candidates are moved: an id that the first pass has not found is not added. The
    scores of moved ones lie above or below all others, so the kind is `ScoreKind.RANK`;
    with none among the candidates the scores are passed through. Raises `InputError` for
    an id in both lists and for a text in place of a list.
    """

    def __init__(
        self, reranker: BaseReranker, *, first: Sequence[str] = (), last: Sequence[str] = ()
    ) -> None:
        super().__init__(reranker)
        if isinstance(first, str) or isinstance(last, str):
            raise InputError("Ids to pin must be a list", why="a single text was given")
        both = sorted(set(first) & set(last))
        if both:
            raise InputError(f"{both[0]!r} cannot stand first and last")
        self.first, self.last = tuple(dict.fromkeys(first)), tuple(dict.fromkeys(last))

    def _changed(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        top = {name: len(self.first) - n for n, name in enumerate(self.first)}
        bottom = {name: n + 1 for n, name in enumerate(self.last)}
        names = [c.document.id for c in candidates]
        if not any(name in top or name in bottom for name in names):
            return scored
        values = [s.value for s in scored.scores]
        high, low = max(values), min(values)
        # A step that a float of this size still resolves.
        step = max(1.0, abs(high), abs(low)) * 1e-6

        def moved(name: str | None, score: Score) -> Score:
            if name in top:
                return replace(score, value=high + top[name] * step, scored=True)
            if name in bottom:
                return replace(score, value=low - bottom[name] * step, scored=True)
            return score

        scores = [moved(n, s) for n, s in zip(names, scored.scores, strict=True)]
        lowest = min((s.value for s in scores if s.scored), default=low)
        scores = [s if s.scored else replace(s, value=lowest) for s in scores]
        return replace(scored, scores=scores, kind=ScoreKind.RANK)
