"""Fixed positions at the top or the bottom for documents with certain ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.score_transform import ScoreTransform
from secondpass.rerank.score import Score, Scored
from secondpass.types import Candidate, ScoreKind


class Pinned(ScoreTransform):
    """Puts documents at the top or the bottom of the results by their ids.

    - `first`: ids for the top, in this order; `last`: ids for the bottom, the last of them
      last. The id of a longer document stands for the best of its passages.

    Only candidates are moved; the option `pin` of `Index.search` also fetches documents that
    the first stage did not return. Scores of moved documents are above or below all others,
    and the part "pinned" is what they gained or lost, so scores order one response only
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
        moved = self._moves(candidates, scored.scores)
        if not moved:
            return scored
        values = [s.value for s in scored.scores]
        high, low = max(values), min(values)
        # Large enough to change a float of this size.
        step = max(1.0, abs(high), abs(low)) * 1e-6

        def move(i: int, score: Score) -> Score:
            place = moved.get(i)
            if place is None:
                return score
            value = (high if place > 0 else low) + place * step
            parts = dict(score.parts) or {"rerank": score.value}
            parts["pinned"] = value - score.value
            return replace(score, value=value, parts=parts, scored=score.scored or place > 0)

        scores = [move(i, score) for i, score in enumerate(scored.scores)]
        return replace(scored, scores=scores, kind=ScoreKind.RANK)

    def _moves(
        self, candidates: Sequence[Candidate], scores: Sequence[Score]
    ) -> dict[int, int]:
        """Return how many places above or below the others candidates go, by position."""
        places = {name: len(self.first) - n for n, name in enumerate(self.first)}
        places |= {name: -1 - n for n, name in enumerate(self.last)}
        moves: dict[int, int] = {}
        for name, place in places.items():
            for i in find_pinned(candidates, name, [s.value for s in scores]):
                moves.setdefault(i, place)
        return moves


def find_pinned(
    candidates: Sequence[Candidate], name: str, values: Sequence[float]
) -> list[int]:
    """Return the positions of the candidates that an id pins.

    Those with this id, or else the passage of this document with the highest value, the first
    of several; none where the id is not among the candidates.
    """
    same = [i for i, c in enumerate(candidates) if c.document.id == name]
    passages = [i for i, c in enumerate(candidates) if c.document.document_id == name]
    return same or sorted(passages, key=lambda i: (-values[i], i))[:1]
