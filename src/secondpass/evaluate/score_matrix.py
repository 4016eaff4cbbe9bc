"""Score matrices: the candidates of all queries as arrays, and measures of their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.measures import parse_measure, ranked_values
from secondpass.evaluate.pair_scores import ProbabilitiesByQuery
from secondpass.evaluate.qrels import Grades
from secondpass.rerank.policies.blend import neighbor_part

FloatArray = NDArray[np.float64]
Vectors = Mapping[str, NDArray[np.float32]]
"""By passage id."""

COLUMNS = ("rerank", "vector", "bm25")
"""The scores that every blend adds up, in the order of `Blend`."""
NEIGHBORS = "neighbors"
"""The column of a blend's part of that name, where vectors and probabilities are known."""

CUTOFF = 10


@dataclass(frozen=True)
class ScoreMatrix:
    """Candidates in first-stage order, one row a query.

    - `ids`: the ids of each row as in the qrels: passages of a document share its id.
    - `mask`: [queries, longest row], whether there is a candidate.
    - `columns`: [queries, longest row] of each score, 0 where there is no candidate.
      `NEIGHBORS` is not a score but what a weight of 1 adds to one (`neighbor_part`), 0 in
      rows without vectors or probabilities.
    - `query_lengths`: [queries], the number of distinct words.
    - `grades`: [queries, longest row]; `ideal_dcg`: [queries], the best possible DCG@10.
    - `document_numbers`: [queries, longest row], a number for each document of a row; None
      where no document occurs twice.
    """

    queries: list[str]
    ids: list[list[str]]
    mask: NDArray[np.bool_]
    columns: Mapping[str, FloatArray]
    query_lengths: FloatArray
    grades: FloatArray
    ideal_dcg: FloatArray
    document_numbers: NDArray[np.int64] | None = None


def build_score_matrix(
    query_texts: Mapping[str, str],
    candidates: Mapping[str, Sequence[FirstStageCandidate]],
    scores: Mapping[str, Mapping[str, float]] | None,
    qrels: Grades,
    *,
    probabilities: ProbabilitiesByQuery | None = None,
    vectors: Vectors | None = None,
) -> ScoreMatrix:
    """Build the matrix of a collection; without `scores` it has no reranker's column.

    A score that a candidate lacks counts as the lowest of its kind in its list. With the
    reranker's `probabilities`, None for what it did not score, and `vectors` of the passages,
    there is the column `NEIGHBORS`.
    """
    queries = list(query_texts)
    shape = (len(queries), max([1, *(len(candidates[q]) for q in queries)]))
    names = COLUMNS if scores is not None else COLUMNS[1:]
    columns = {name: np.zeros(shape) for name in names}
    neighbors: FloatArray | None = None
    mask, grades = np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    ideal_dcg, query_lengths = np.zeros(len(queries)), np.ones(len(queries))
    document_numbers = np.tile(np.arange(shape[1]), (shape[0], 1))
    for row, query in enumerate(queries):
        listed = candidates[query]
        n = len(listed)
        mask[row, :n] = True
        grades[row, :n] = [max(0, qrels[query].get(c.judged_id, 0)) for c in listed]
        ideal = sorted((max(0, g) for g in qrels[query].values()), reverse=True)[:CUTOFF]
        ideal_dcg[row] = (np.array(ideal) * dcg_discounts(len(ideal))).sum()
        query_lengths[row] = max(1, len(set(query_texts[query].casefold().split())))
        columns["vector"][row, :n] = _fill_missing([c.vector for c in listed])
        columns["bm25"][row, :n] = _fill_missing([c.bm25 for c in listed])
        if scores is not None:
            columns["rerank"][row, :n] = [scores[query][c.id] for c in listed]
        part = _neighbor_row(listed, (probabilities or {}).get(query, {}), vectors or {})
        if part is not None:
            neighbors = np.zeros(shape) if neighbors is None else neighbors
            neighbors[row, :n] = part
        first_position: dict[str, int] = {}
        document_numbers[row, :n] = [
            first_position.setdefault(c.judged_id, i) for i, c in enumerate(listed)
        ]
    if neighbors is not None:
        columns[NEIGHBORS] = neighbors
    ids = [[c.judged_id for c in candidates[query]] for query in queries]
    repeated = any(len(set(row)) < len(row) for row in ids)
    return ScoreMatrix(
        queries,
        ids,
        mask,
        columns,
        query_lengths,
        grades,
        ideal_dcg,
        document_numbers if repeated else None,
    )


def rank_positions(matrix: ScoreMatrix, scores: FloatArray) -> NDArray[np.int64]:
    """Return the positions of each row by falling score; ties keep first-stage order."""
    order: NDArray[np.int64] = np.argsort(
        np.where(matrix.mask, -scores, np.inf), axis=1, kind="stable"
    )
    return order


def ranked_ids(matrix: ScoreMatrix, scores: FloatArray) -> dict[str, list[str]]:
    """Return the ids of each query by falling score; a document counts where it is first."""
    order = rank_positions(matrix, scores)
    return {
        query: list(dict.fromkeys(ids[i] for i in row[: len(ids)]))
        for query, ids, row in zip(matrix.queries, matrix.ids, order.tolist(), strict=True)
    }


def ranked_probabilities(
    matrix: ScoreMatrix, scores: FloatArray, probabilities: Sequence[Sequence[float | None]]
) -> dict[str, list[tuple[str, float | None]]]:
    """Return each query's (judged id, probability) by falling score, one for each passage.

    `probabilities` are in the order of the matrix.
    """
    order = rank_positions(matrix, scores)
    return {
        query: [(ids[i], row_probabilities[i]) for i in row[: len(ids)]]
        for query, ids, row_probabilities, row in zip(
            matrix.queries, matrix.ids, probabilities, order.tolist(), strict=True
        )
    }


def ndcg(matrix: ScoreMatrix, scores: FloatArray) -> FloatArray:
    """Return nDCG@10 of each query, [queries], as trec_eval defines it.

    Gains are the grades; a query without a relevant document has 0.
    """
    order = rank_positions(matrix, scores)
    if matrix.document_numbers is not None:
        gains = _gains_without_repeats(matrix, matrix.document_numbers, order)
    else:
        top = order[:, :CUTOFF]
        # Positions without a candidate have grade 0, whatever their rank.
        gains = np.take_along_axis(matrix.grades, top, axis=1) * dcg_discounts(top.shape[1])
    value: FloatArray = gains.sum(axis=1) / np.where(
        matrix.ideal_dcg > 0, matrix.ideal_dcg, 1.0
    )
    return value


def dcg_discounts(n: int) -> FloatArray:
    """Return the DCG discounts of the first `n` ranks."""
    discounts: FloatArray = 1.0 / np.log2(np.arange(n, dtype=np.float64) + 2.0)
    return discounts


def _gains_without_repeats(
    matrix: ScoreMatrix, document_numbers: NDArray[np.int64], order: NDArray[np.int64]
) -> FloatArray:
    documents = np.take_along_axis(document_numbers, order, axis=1)
    is_first = np.zeros_like(documents, dtype=np.bool_)
    for row, numbers in enumerate(documents):
        is_first[row, np.unique(numbers, return_index=True)[1]] = True
    rank = np.cumsum(is_first, axis=1) - 1
    discounts = np.concatenate([dcg_discounts(CUTOFF), [0.0]])[np.minimum(rank, CUTOFF)]
    gains: FloatArray = np.take_along_axis(matrix.grades, order, axis=1) * discounts * is_first
    return gains


def _neighbor_row(
    listed: Sequence[FirstStageCandidate],
    probabilities: Mapping[str, float | None],
    vectors: Vectors,
) -> FloatArray | None:
    """Return what neighbors add in one row; None where `Blend` leaves them out."""
    row_vectors = [vectors.get(c.id) for c in listed]
    row_probabilities = [probabilities.get(c.id) for c in listed]
    if all(v is None for v in row_vectors) or all(p is None for p in row_probabilities):
        return None
    return neighbor_part(row_vectors, row_probabilities)


def _fill_missing(values: Sequence[float | None]) -> list[float]:
    lowest = min((v for v in values if v is not None), default=0.0)
    return [lowest if v is None else v for v in values]


class Objective:
    """A measure to maximize, by its name in ir-measures; nDCG@10 takes a faster path.

    Raises InputError for a name that is unknown or cannot be computed.
    """

    def __init__(self, qrels: Grades, measure: str = f"nDCG@{CUTOFF}") -> None:
        self.measure = str(parse_measure(measure))
        self._qrels = qrels

    def __call__(self, matrix: ScoreMatrix, scores: FloatArray) -> FloatArray:
        """Return the measure of each query, [queries], candidates by falling score."""
        if self.measure == f"nDCG@{CUTOFF}":
            return ndcg(matrix, scores)
        return self.of_rankings(ranked_ids(matrix, scores))

    def of_rankings(self, ranked: Mapping[str, Sequence[str]]) -> FloatArray:
        """Return the measure of each query's ranked ids, [queries]."""
        return ranked_values(ranked, self._qrels, [self.measure])[self.measure]
