"""The queries that the second pass harmed most, document by document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.score_matrix import Matrix
from secondpass.evaluate.variants import Ranked
from secondpass.types import Document

WORST = 10
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Move:
    """One document: its grade (None: nobody judged it) and its ranks, None where not found."""

    document: str
    grade: int | None
    before: int | None
    after: int | None
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Harm:
    """One query that became worse, and what stood where."""

    query: str
    text: str
    before: float
    after: float
    moves: tuple[Move, ...]


def most_harmed(
    queries: Mapping[str, str],
    qrels: Grades,
    documents: Mapping[str, Document],
    before: tuple[Matrix, Ranked],
    after: tuple[Matrix, Ranked],
    *,
    worst: int = WORST,
) -> list[Harm]:
    """Return up to `worst` queries that fell, the largest fall first.

    `documents` by the id that judgements name. The documents shown are the first five of
    either order and every relevant one.
    """
    change = after[0] - before[0]
    names = list(queries)
    found = []
    for row in np.argsort(change, kind="stable")[:worst].tolist():
        if change[row] >= -1e-9:
            break
        query = names[row]
        found.append(
            Harm(
                query,
                queries[query],
                float(before[0][row]),
                float(after[0][row]),
                _moves(before[1][query], after[1][query], qrels[query], documents),
            )
        )
    return found


def _moves(
    before: Sequence[str],
    after: Sequence[str],
    grades: Mapping[str, int],
    documents: Mapping[str, Document],
) -> tuple[Move, ...]:
    relevant = [d for d, grade in grades.items() if grade > 0]
    old = {d: rank for rank, d in enumerate(before, 1)}
    new = {d: rank for rank, d in enumerate(after, 1)}
    shown = dict.fromkeys([*before[:SHOWN], *after[:SHOWN], *relevant])
    last = len(old) + len(new) + 1
    moves = []
    for name in sorted(shown, key=lambda d: (old.get(d, last), new.get(d, last), d)):
        document = documents.get(name, Document(""))
        title = "" if document.title is None else document.title
        text = " ".join(document.text.split())[:240]
        moves.append(Move(name, grades.get(name), old.get(name), new.get(name), title, text))
    return tuple(moves)
