"""Fixed positions at the top or the bottom for documents with certain ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.policies.score_transform import ScoreTransform
from secondpass.types import Candidate, ScoreKind


class Pinned(ScoreTransform):
    """Puts documents at the top or the bottom of the results by their ids.

    - `first`: ids for the top, in this order; `last`: ids for the bottom, the last of them
      last.

    Only candidates are moved: an id that the first stage did not return is not added. Scores of
    moved documents are above or below all others, so scores order one response only
    (`ScoreKind.RANK`); with no moved document among the candidates they are passed through.
    Raises `InputError` for an id in both lists and for a string in place of a list.
    """

    def __init__(
        self, reranker: BaseReranker, *, first: Sequence[str] = (), last: Sequence[str] = ()
    ) -> None:
        super().__init__(reranker)
        for name, ids in (("first", first), ("last", last)):
            if isinstance(ids, str):
                raise InputError(f"{name} must be a list of ids, not a string")
        both = sorted(set(first) & set(last))
        if both:
            raise InputError(f"The id {both[0]!r} is in both first and last")
        self.first, self.last = tuple(dict.fromkeys(first)), tuple(dict.fromkeys(last))

    def _transform(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        top = {name: len(self.first) - n for n, name in enumerate(self.first)}
        bottom = {name: n + 1 for n, name in enumerate(self.last)}
        names = [c.document.id for c in candidates]
        if not any(name in top or name in bottom for name in names):
            return scored
        values = [s.value for s in scored.scores]
        high, low = max(values), min(values)
        # Large enough to change a float of this size.
        step = max(1.0, abs(high), abs(low)) * 1e-6

        def move(name: str | None, score: Score) -> Score:
            if name in top:
                return replace(score, value=high + top[name] * step, scored=True)
            if name in bottom:
                return replace(score, value=low - bottom[name] * step, scored=True)
            return score

        scores = [move(n, s) for n, s in zip(names, scored.scores, strict=True)]
        lowest = min((s.value for s in scores if s.scored), default=low)
        scores = [s if s.scored else replace(s, value=lowest) for s in scores]
        return replace(scored, scores=scores, kind=ScoreKind.RANK)
