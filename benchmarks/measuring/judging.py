"""nDCG@10 and recall of rankings, question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secondpass.evaluate.measures import ranked_values
from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.score_matrix import CUTOFF, FloatArray


class Judge:
    """Judges rankings of one collection; values stand in the order of its questions."""

    def __init__(self, qrels: Grades, *, relevant: int = 1) -> None:
        self.queries = list(qrels)
        self._relevant = relevant
        self._qrels = qrels

    def ndcg(self, ranked: Mapping[str, Sequence[str]]) -> FloatArray:
        """Return nDCG@10 of each question's ranked ids, [questions]."""
        return self._values(f"nDCG@{CUTOFF}", {q: ids[:CUTOFF] for q, ids in ranked.items()})

    def recall(self, ranked: Mapping[str, Sequence[str]], depth: int) -> float:
        """Return mean recall at `depth`."""
        return float(self._values(f"R(rel={self._relevant})@{depth}", ranked).mean())

    def _values(self, measure: str, ranked: Mapping[str, Sequence[str]]) -> FloatArray:
        return ranked_values(ranked, self._qrels, [measure])[measure]
