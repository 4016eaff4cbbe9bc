"""Harmed queries: those that the second pass made worse, with the changes of rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.score_matrix import FloatArray
from secondpass.evaluate.variants import RankedIds
from secondpass.types import Document

MAX_QUERIES = 10
TOP_DOCUMENTS = 5
_MAX_TEXT_CHARACTERS = 240


@dataclass(frozen=True, slots=True)
class RankChange:
    """A document with its grade (None: unjudged) and its ranks, None where not retrieved."""

    document: str
    grade: int | None
    before: int | None
    after: int | None
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class HarmedQuery:
    """A query whose measure fell from `before` to `after`, and the changes of rank."""

    query: str
    text: str
    before: float
    after: float
    moves: tuple[RankChange, ...]


def find_harmed_queries(
    queries: Mapping[str, str],
    qrels: Grades,
    documents: Mapping[str, Document],
    before: tuple[FloatArray, RankedIds],
    after: tuple[FloatArray, RankedIds],
    *,
    limit: int = MAX_QUERIES,
) -> list[HarmedQuery]:
    """Return up to `limit` queries whose measure fell, the largest fall first.

    `documents` are by judged id; `before` and `after` are values [queries] and rankings.
    Each query comes with the first five documents of both rankings and every relevant one.
    """
    (values_before, ranked_before), (values_after, ranked_after) = before, after
    change = values_after - values_before
    query_ids = list(queries)
    harmed = []
    for row in np.argsort(change, kind="stable")[:limit].tolist():
        if change[row] >= -1e-9:
            break
        query = query_ids[row]
        harmed.append(
            HarmedQuery(
                query,
                queries[query],
                float(values_before[row]),
                float(values_after[row]),
                _rank_changes(
                    ranked_before[query], ranked_after[query], qrels[query], documents
                ),
            )
        )
    return harmed


def _rank_changes(
    before: Sequence[str],
    after: Sequence[str],
    grades: Mapping[str, int],
    documents: Mapping[str, Document],
) -> tuple[RankChange, ...]:
    relevant = [document for document, grade in grades.items() if grade > 0]
    rank_before = {document: rank for rank, document in enumerate(before, 1)}
    rank_after = {document: rank for rank, document in enumerate(after, 1)}
    last = len(rank_before) + len(rank_after) + 1

    def key(document: str) -> tuple[int, int, str]:
        return rank_before.get(document, last), rank_after.get(document, last), document

    changes = []
    for name in sorted({*before[:TOP_DOCUMENTS], *after[:TOP_DOCUMENTS], *relevant}, key=key):
        document = documents.get(name, Document(""))
        changes.append(
            RankChange(
                name,
                grades.get(name),
                rank_before.get(name),
                rank_after.get(name),
                "" if document.title is None else document.title,
                " ".join(document.text.split())[:_MAX_TEXT_CHARACTERS],
            )
        )
    return tuple(changes)
