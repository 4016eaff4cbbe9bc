"""The candidates of all questions of one collection as arrays, and nDCG@10 of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from measuring.candidates import Entry

Matrix = NDArray[np.float64]

COLUMNS = ("rerank", "vector", "bm25")
"""The scores that can be fused, in the order in which `Blend` adds them up."""

CUT = 10


@dataclass(frozen=True)
class Pool:
    """Candidates in first-stage order, one row a question.

    - `ids`: of each row; `there`: [questions, longest], where a row has a candidate.
    - `columns`: [questions, longest] of each score, 0 where there is no candidate.
    - `terms`: [questions], how many distinct words a question has.
    - `grades`: [questions, longest]; `ideal`: [questions], the best possible DCG@10.
    """

    queries: list[str]
    ids: list[list[str]]
    there: NDArray[np.bool_]
    columns: Mapping[str, Matrix]
    terms: Matrix
    grades: Matrix
    ideal: Matrix


def pool(
    questions: Mapping[str, str],
    found: Mapping[str, Sequence[Entry]],
    scores: Mapping[str, Mapping[str, float]] | None,
    qrels: Mapping[str, Mapping[str, int]],
) -> Pool:
    """Return the arrays of one collection; without `scores` there is no reranker's column.

    A score that a candidate lacks counts as the lowest of its kind in its list.
    """
    queries = list(questions)
    shape = (len(queries), max([1, *(len(found[q]) for q in queries)]))
    names = COLUMNS if scores is not None else COLUMNS[1:]
    columns = {name: np.zeros(shape) for name in names}
    there, grades = np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    ideal, terms = np.zeros(len(queries)), np.ones(len(queries))
    for row, query in enumerate(queries):
        entries = found[query]
        n = len(entries)
        there[row, :n] = True
        grades[row, :n] = [max(0, qrels[query].get(e.id, 0)) for e in entries]
        best = sorted((max(0, g) for g in qrels[query].values()), reverse=True)[:CUT]
        ideal[row] = (np.array(best) * discounts(len(best))).sum()
        terms[row] = max(1, len(set(questions[query].casefold().split())))
        columns["vector"][row, :n] = _filled([e.vector for e in entries])
        columns["bm25"][row, :n] = _filled([e.bm25 for e in entries])
        if scores is not None:
            columns["rerank"][row, :n] = [scores[query][e.id] for e in entries]
    ids = [[e.id for e in found[query]] for query in queries]
    return Pool(queries, ids, there, columns, terms, grades, ideal)


def ranking(pool: Pool, scores: Matrix) -> NDArray[np.int64]:
    """Return the positions of each row by falling score; ties stand in first-stage order."""
    order: NDArray[np.int64] = np.argsort(
        np.where(pool.there, -scores, np.inf), axis=1, kind="stable"
    )
    return order


def ndcg(pool: Pool, scores: Matrix) -> Matrix:
    """Return nDCG@10 of each question, [questions], as trec_eval defines it.

    Gains are the grades; a question without a relevant document has 0.
    """
    top = ranking(pool, scores)[:, :CUT]
    # Places without a candidate have grade 0, wherever they are put.
    gained = np.take_along_axis(pool.grades, top, axis=1) * discounts(top.shape[1])
    value: Matrix = gained.sum(axis=1) / np.where(pool.ideal > 0, pool.ideal, 1.0)
    return value


def discounts(n: int) -> Matrix:
    """Return what a grade counts at each of the first `n` ranks."""
    weights: Matrix = 1.0 / np.log2(np.arange(n, dtype=np.float64) + 2.0)
    return weights


def _filled(values: Sequence[float | None]) -> list[float]:
    lowest = min((v for v in values if v is not None), default=0.0)
    return [lowest if v is None else v for v in values]
