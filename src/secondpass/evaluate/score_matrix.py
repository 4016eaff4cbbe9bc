"""The candidates of all queries as arrays, and nDCG of an order of them.

The one measure that is maximised, of any order of a pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.evaluate.first_stage import Entry
from secondpass.evaluate.measures import parse_measure, ranked_values
from secondpass.evaluate.qrels import Grades

Matrix = NDArray[np.float64]

COLUMNS = ("rerank", "vector", "bm25")
"""The scores that can be fused, in the order in which `Blend` adds them up."""

CUT = 10


@dataclass(frozen=True)
class ScoreMatrix:
    """Candidates in first-stage order, one row a query.

    - `ids`: of each row, as judgements name them: passages of a document share its id.
    - `there`: [queries, longest], where a row has a candidate.
    - `columns`: [queries, longest] of each score, 0 where there is no candidate.
    - `terms`: [queries], how many distinct words a query has.
    - `grades`: [queries, longest]; `ideal`: [queries], the best possible DCG@10.
    - `same`: [queries, longest], a number for each document of a row; None where no
      document stands twice.
    """

    queries: list[str]
    ids: list[list[str]]
    there: NDArray[np.bool_]
    columns: Mapping[str, Matrix]
    terms: Matrix
    grades: Matrix
    ideal: Matrix
    same: NDArray[np.int64] | None = None


def pool(
    questions: Mapping[str, str],
    found: Mapping[str, Sequence[Entry]],
    scores: Mapping[str, Mapping[str, float]] | None,
    qrels: Grades,
) -> ScoreMatrix:
    """Return the arrays of one collection; without `scores` there is no reranker's column.

    A score that a candidate lacks counts as the lowest of its kind in its list.
    """
    queries = list(questions)
    shape = (len(queries), max([1, *(len(found[q]) for q in queries)]))
    names = COLUMNS if scores is not None else COLUMNS[1:]
    columns = {name: np.zeros(shape) for name in names}
    there, grades = np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    ideal, terms = np.zeros(len(queries)), np.ones(len(queries))
    same = np.tile(np.arange(shape[1]), (shape[0], 1))
    for row, query in enumerate(queries):
        entries = found[query]
        n = len(entries)
        there[row, :n] = True
        grades[row, :n] = [max(0, qrels[query].get(e.judged, 0)) for e in entries]
        best = sorted((max(0, g) for g in qrels[query].values()), reverse=True)[:CUT]
        ideal[row] = (np.array(best) * discounts(len(best))).sum()
        terms[row] = max(1, len(set(questions[query].casefold().split())))
        columns["vector"][row, :n] = _filled([e.vector for e in entries])
        columns["bm25"][row, :n] = _filled([e.bm25 for e in entries])
        if scores is not None:
            columns["rerank"][row, :n] = [scores[query][e.id] for e in entries]
        firsts: dict[str, int] = {}
        same[row, :n] = [firsts.setdefault(e.judged, i) for i, e in enumerate(entries)]
    ids = [[e.judged for e in found[query]] for query in queries]
    twice = any(len(set(row)) < len(row) for row in ids)
    return ScoreMatrix(
        queries, ids, there, columns, terms, grades, ideal, same if twice else None
    )


def ranking(pool: ScoreMatrix, scores: Matrix) -> NDArray[np.int64]:
    """Return the positions of each row by falling score; ties stand in first-stage order."""
    order: NDArray[np.int64] = np.argsort(
        np.where(pool.there, -scores, np.inf), axis=1, kind="stable"
    )
    return order


def ranked_ids(pool: ScoreMatrix, scores: Matrix) -> dict[str, list[str]]:
    """Return the ids of each query by falling score; a document counts where it is first."""
    order = ranking(pool, scores)
    return {
        query: list(dict.fromkeys(names[i] for i in row[: len(names)]))
        for query, names, row in zip(pool.queries, pool.ids, order.tolist(), strict=True)
    }


def listed(
    pool: ScoreMatrix, scores: Matrix, chances: Sequence[Sequence[float | None]]
) -> dict[str, list[tuple[str, float | None]]]:
    """Return each query's (judged id, chance) by falling score, every passage for itself.

    `chances` are in the order of the pool.
    """
    order = ranking(pool, scores)
    return {
        query: [(names[i], row[i]) for i in places[: len(names)]]
        for query, names, row, places in zip(
            pool.queries, pool.ids, chances, order.tolist(), strict=True
        )
    }


def ndcg(pool: ScoreMatrix, scores: Matrix) -> Matrix:
    """Return nDCG@10 of each query, [queries], as trec_eval defines it.

    Gains are the grades; a query without a relevant document has 0.
    """
    order = ranking(pool, scores)
    if pool.same is not None:
        gained = _without_repeats(pool, order)
    else:
        top = order[:, :CUT]
        # Places without a candidate have grade 0, wherever they are put.
        gained = np.take_along_axis(pool.grades, top, axis=1) * discounts(top.shape[1])
    value: Matrix = gained.sum(axis=1) / np.where(pool.ideal > 0, pool.ideal, 1.0)
    return value


def discounts(n: int) -> Matrix:
    """Return what a grade counts at each of the first `n` ranks."""
    weights: Matrix = 1.0 / np.log2(np.arange(n, dtype=np.float64) + 2.0)
    return weights


def _without_repeats(pool: ScoreMatrix, order: NDArray[np.int64]) -> Matrix:
    assert pool.same is not None
    documents = np.take_along_axis(pool.same, order, axis=1)
    first = np.zeros_like(documents, dtype=np.bool_)
    for row, names in enumerate(documents):
        first[row, np.unique(names, return_index=True)[1]] = True
    place = np.cumsum(first, axis=1) - 1
    weights = np.concatenate([discounts(CUT), [0.0]])[np.minimum(place, CUT)]
    gained: Matrix = np.take_along_axis(pool.grades, order, axis=1) * weights * first
    return gained


def _filled(values: Sequence[float | None]) -> list[float]:
    lowest = min((v for v in values if v is not None), default=0.0)
    return [lowest if v is None else v for v in values]


class Objective:
    """A measure by its name in ir-measures; nDCG@10, which is the default, is quicker.

    Raises InputError for a name that is unknown or cannot be computed.
    """

    def __init__(self, qrels: Grades, measure: str = f"nDCG@{CUT}") -> None:
        self.measure = str(parse_measure(measure))
        self._qrels = qrels

    def __call__(self, pool: ScoreMatrix, scores: Matrix) -> Matrix:
        """Return the measure of each query, [queries], candidates by falling score."""
        if self.measure == f"nDCG@{CUT}":
            return ndcg(pool, scores)
        return self.of(ranked_ids(pool, scores))

    def of(self, ranked: dict[str, list[str]]) -> Matrix:
        """Return the measure of each query's ranked ids, [queries]."""
        return ranked_values(ranked, self._qrels, [self.measure])[self.measure]
