"""nDCG@10 and recall of rankings, question by question, from ir-measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import R, nDCG

from measuring.pools import CUT, Matrix, Pool, ranking

Qrels = Mapping[str, Mapping[str, int]]


class Judge:
    """Judges rankings of one collection; values stand in the order of its questions."""

    def __init__(self, qrels: Qrels, *, relevant: int = 1) -> None:
        self.queries = list(qrels)
        self._relevant = relevant
        self._qrels = [
            ir_measures.Qrel(query, document, grade)
            for query, judged in qrels.items()
            for document, grade in judged.items()
        ]

    def ndcg(self, ranked: Mapping[str, Sequence[str]]) -> Matrix:
        """Return nDCG@10 of each question's ranked ids, [questions]."""
        return self._values(nDCG @ CUT, {q: ids[:CUT] for q, ids in ranked.items()})

    def recall(self, ranked: Mapping[str, Sequence[str]], depth: int) -> float:
        """Return mean recall at `depth`."""
        return float(self._values(R(rel=self._relevant) @ depth, ranked).mean())

    def _values(
        self, measure: ir_measures.Measure, ranked: Mapping[str, Sequence[str]]
    ) -> Matrix:
        run = [
            ir_measures.ScoredDoc(query, name, -float(rank))
            for query, ids in ranked.items()
            for rank, name in enumerate(ids)
        ]
        got = {m.query_id: m.value for m in ir_measures.iter_calc([measure], self._qrels, run)}
        return np.array([got.get(query, 0.0) for query in self.queries])


def ranked_ids(pool: Pool, scores: Matrix) -> dict[str, list[str]]:
    """Return the ids of each question by falling score."""
    order = ranking(pool, scores)
    return {
        query: [names[i] for i in row[: len(names)]]
        for query, names, row in zip(pool.queries, pool.ids, order.tolist(), strict=True)
    }
