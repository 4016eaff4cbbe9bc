"""The one measure that is maximised, of any order of a pool."""

from __future__ import annotations

from secondpass.evaluate.measures import parse_measure, ranked_values
from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.score_matrix import CUT, Matrix, Pool, ndcg, ranked_ids


class Objective:
    """A measure by its name in ir-measures; nDCG@10, which is the default, is quicker.

    Raises InputError for a name that is unknown or cannot be computed.
    """

    def __init__(self, qrels: Grades, measure: str = f"nDCG@{CUT}") -> None:
        self.measure = str(parse_measure(measure))
        self._qrels = qrels

    def __call__(self, pool: Pool, scores: Matrix) -> Matrix:
        """Return the measure of each query, [queries], candidates by falling score."""
        if self.measure == f"nDCG@{CUT}":
            return ndcg(pool, scores)
        return self.of(ranked_ids(pool, scores))

    def of(self, ranked: dict[str, list[str]]) -> Matrix:
        """Return the measure of each query's ranked ids, [queries]."""
        return ranked_values(ranked, self._qrels, [self.measure])[self.measure]
