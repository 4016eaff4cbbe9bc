"""Pairs that somebody called relevant or not, by query."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import InputError
from secondpass.evaluate.qrels import Grades
from secondpass.rerank.inputs import to_candidates
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.index.index import Index


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query with candidates and whether each is relevant.

    `assumed` is how many count as irrelevant although nobody judged them.
    """

    query: str
    candidates: tuple[Candidate, ...]
    relevant: tuple[bool, ...]
    assumed: int = 0


def read_pairs(file: Path, *, least_grade: int = 1) -> list[LabelledQuery]:
    """Read JSON lines with `query`, `text`, an optional `title`, and `label` or `grade`.

    A label is true or false, or a number of which `least_grade` and more is relevant. A
    pair that stands twice counts once. Raises `InputError` naming the line that cannot be
    used, or that gives another label to a pair.
    """
    found: dict[str, list[tuple[Candidate, bool]]] = {}
    labels: dict[tuple[str, str, str | None], bool] = {}
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "The labels cannot be read", where=str(file), why=str(error)
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
            query, text = row["query"], row["text"]
            label = row["label"] if "label" in row else row["grade"]
        except (ValueError, KeyError, TypeError) as error:
            raise _unusable(where, f"{type(error).__name__}: {error}") from error
        title = row.get("title")
        if (
            not isinstance(query, str)
            or not query.strip()
            or not isinstance(label, int | float)
            or not math.isfinite(label)
        ):
            raise _unusable(where, "query must be text, and label a number or true or false")
        (candidate,) = to_candidates([{**row, "text": text, "title": title}])
        hit = label if isinstance(label, bool) else label >= least_grade
        pair = (query, candidate.document.text, candidate.document.title)
        if pair not in labels:
            found.setdefault(query, []).append((candidate, hit))
        elif labels[pair] != hit:
            raise _unusable(where, "a line before gives this pair another label")
        labels[pair] = hit
    if not found:
        raise InputError("There are no labels", where=str(file))
    return [
        LabelledQuery(query, tuple(c for c, _ in rows), tuple(hit for _, hit in rows))
        for query, rows in found.items()
    ]


def from_index(
    index: Index,
    queries: Mapping[str, str],
    grades: Grades,
    *,
    candidates: int = 50,
    least_grade: int = 1,
    judged_only: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[LabelledQuery]:
    """Label the first pass's candidates by the grades of their documents.

    A candidate that nobody judged counts as irrelevant, or is left out with `judged_only`.
    Queries without any grade are left out. A passage has its document's grade. Raises
    `InputError` if no query of the grades is known.
    """
    known = [name for name in queries if name in grades]
    if not known:
        few = ", ".join(repr(name) for name in list(grades)[:3])
        raise InputError(
            "No query of the grades is among the queries",
            why=f"the grades have {few or 'none'}",
            fix="Give the queries and the grades of one collection.",
        )
    found = []
    for done, name in enumerate(known, start=1):
        response = index.search(queries[name], candidates=candidates, top_k=None, rerank=False)
        rows = []
        for result in response.results:
            assert result.document is not None
            grade = grades[name].get(document_id(result.document))
            grade = grades[name].get(result.id or "") if grade is None else grade
            if grade is not None or not judged_only:
                rows.append((Candidate(result.document), grade))
        if rows:
            hits = tuple(grade is not None and grade >= least_grade for _, grade in rows)
            assumed = sum(grade is None for _, grade in rows)
            one = LabelledQuery(queries[name], tuple(c for c, _ in rows), hits, assumed)
            found.append(one)
        if progress is not None:
            progress("retrieve", done, len(known))
    return found


def document_id(document: Document) -> str:
    """Return the id of the whole document that a passage was cut from."""
    whole = document.metadata.get("document_id", document.id)
    return "" if whole is None else str(whole)


def _unusable(where: str, why: str) -> InputError:
    return InputError(
        "A label cannot be used",
        where=where,
        why=why,
        fix='Each line must be like {"query": "…", "text": "…", "label": 1}.',
    )
