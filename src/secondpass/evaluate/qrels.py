"""Qrels (relevance judgments) and labeled pairs: TREC, BEIR and JSON lines files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import InputError, nearest
from secondpass.evaluate.text_files import (
    Line,
    abbreviate,
    check_trec_ids,
    is_json,
    split_lines,
    write_lines,
)
from secondpass.inference.unicode import clean
from secondpass.rerank.inputs import to_candidates
from secondpass.retrieve.loaders.base import read_text
from secondpass.retrieve.loaders.jsonl import plain_or_gzipped, rows
from secondpass.types import Candidate

if TYPE_CHECKING:
    from secondpass.index.search import Search


Grades = Mapping[str, Mapping[str, int]]
"""By query id, then by document id."""

_FIX = (
    "Each line must be: query id, 0, document id, grade (TREC), or query id, tab, document"
    " id, tab, grade (BEIR)."
)


_QUERY_KEYS = ("query_id", "query-id", "qid")
_DOCUMENT_KEYS = ("doc_id", "corpus-id", "docid")
_GRADE = re.compile(r"(-?\d{1,18})(?:\.0*)?", re.ASCII)
_GRADE_KEYS = ("grade", "relevance", "score", "label")
_GRADE_FIX = (
    "A grade is a whole number, such as 0, 1 or 2; 1.0 is 1. A header has names of columns, "
    "such as query-id, corpus-id and score."
)
_HEADERS = (
    {"queryid", "qid", "query", "topic", "topicid"},
    {"corpusid", "docid", "documentid", "doc", "document", "did", "docno", "pid", "passageid"},
    {"score", "grade", "relevance", "label", "rel", "judgment", "judgement", "rating"},
)
"""The names of the three columns in a header, in lower case and of letters alone."""


@dataclass(frozen=True, slots=True)
class Qrels:
    """The judgments of a file.

    - `grades`: 0 is not relevant, above 0 is relevant; negative grades have become 0.
    - `repeated`: the number of repeated lines; `negative`: of grades below 0.
    """

    grades: Grades
    repeated: int = 0
    negative: int = 0


def read_qrels(path: Path, split: str = "test", *, may_be_empty: bool = False) -> Qrels:
    """Return the judgments of a file, or of `qrels/SPLIT.tsv` in a BEIR folder.

    Reads TREC qrels (4 columns), BEIR's tables (3 tab-separated columns, with or without a
    header) and JSON lines with `query_id`, `doc_id` and `grade`, gzipped or not. A repeated
    judgment counts once. A grade below 0 counts as judged and not relevant. Raises
    InputError for two grades of one document, a grade that is not a whole number, or a file
    without judgments unless it `may_be_empty`; ReadError for a damaged file.
    """
    file = _split_file(path, split) if path.is_dir() else path
    grades: dict[str, dict[str, int]] = {}
    repeated = negative = 0
    rows = _read_json(file) if is_json(file) else _read_columns(file)
    for where, query, document, grade in rows:
        judged = grades.setdefault(query, {})
        if document in judged:
            if judged[document] != grade:
                raise InputError(
                    f"document {document!r} has two grades for query {query!r}",
                    where=where,
                    why=f"{judged[document]} before, {grade} here",
                    fix="Keep one of the two lines.",
                )
            repeated += 1
            continue
        judged[document] = grade
        negative += grade < 0
    if not grades and not may_be_empty:
        raise InputError("there are no judgments", where=str(file), fix=_FIX)
    clipped = {q: {d: max(0, g) for d, g in judged.items()} for q, judged in grades.items()}
    return Qrels(clipped, repeated, negative)


def write_qrels(grades: Grades, path: Path) -> None:
    """Write judgments: JSON lines to `.jsonl`, else TREC qrels; `.gz` is compressed.

    Raises InputError for an id with white space in a TREC file.
    """
    rows = [(q, d, grade) for q, judged in grades.items() for d, grade in judged.items()]
    if is_json(path):
        objects = ({"query_id": q, "doc_id": d, "grade": grade} for q, d, grade in rows)
        write_lines(path, (json.dumps(row, ensure_ascii=False) for row in objects))
        return
    for query, document, _ in rows:
        check_trec_ids("qrels file", query, document)
    write_lines(path, (f"{q} 0 {d} {grade}" for q, d, grade in rows))


def _split_file(folder: Path, split: str) -> Path:
    file = plain_or_gzipped(folder / "qrels" / f"{split}.tsv")
    if file is None:
        files = (folder / "qrels").glob("*.tsv*")
        known = sorted({path.name.partition(".tsv")[0] for path in files})
        raise InputError(
            f"there is no split {split!r}",
            where=str(folder / "qrels"),
            fix=nearest(split, known) if known else "Name the file of the judgments.",
        )
    return file


def _read_json(file: Path) -> Iterator[tuple[str, str, str, int]]:
    for row in rows(file):
        query, document = (
            clean(row.name(next((key for key in keys if key in row.values), keys[0])))
            for keys in (_QUERY_KEYS, _DOCUMENT_KEYS)
        )
        grade_key = next((key for key in _GRADE_KEYS if key in row.values), _GRADE_KEYS[0])
        grade = row.values.get(grade_key)
        if isinstance(grade, float) and grade.is_integer():
            grade = int(grade)
        if type(grade) is not int:
            raise row.wrong(f"'grade' is {grade!r}, and must be a whole number")
        yield row.where, query, document, grade


def _read_columns(file: Path) -> Iterator[tuple[str, str, str, int]]:
    for line in split_lines(file, None):
        columns = line.text.split("\t")
        if len(columns) == 3:
            if line.number == 1 and _is_header(columns):
                continue
            query, document, grade = columns
        elif len(line.cells) == 4:
            query, _, document, grade = line.cells
        else:
            raise line.error("it has neither 4 columns nor 3 separated by tabs", _FIX)
        yield line.where, query.strip(), document.strip(), _grade_of_line(line, grade)


def _grade_of_line(line: Line, text: str) -> int:
    grade = _parse_grade(text)
    if grade is None:
        raise line.error(f"the grade {text!r} is not a whole number", _GRADE_FIX)
    return grade


def _parse_grade(text: str) -> int | None:
    """Return a whole number, which pandas may have written as "1.0", or None."""
    found = _GRADE.fullmatch(text.strip())
    return None if found is None else int(found[1])


def _is_header(columns: list[str]) -> bool:
    """Return whether the cells are names of columns; another first line is a judgment."""
    names = ("".join(filter(str.isalpha, column.lower())) for column in columns)
    return all(name in known for name, known in zip(names, _HEADERS, strict=True))


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query with candidates and whether each is relevant.

    `assumed` is how many are unjudged and count as irrelevant.
    """

    query: str
    candidates: tuple[Candidate, ...]
    relevant: tuple[bool, ...]
    assumed: int = 0


def read_pairs(file: Path, *, min_grade: int = 1) -> list[LabelledQuery]:
    """Read JSON lines with `query`, `text`, an optional `title`, and `label` or `grade`.

    A label is true or false, or a number that is relevant from `min_grade` up. A repeated
    pair counts once. Raises `InputError` with the line that cannot be used, or that gives
    another label to a pair, and `ReadError` for a file that cannot be read.
    """
    pairs_by_query: dict[str, list[tuple[Candidate, bool]]] = {}
    labels: dict[tuple[str, str, str | None], bool] = {}
    lines = read_text(file).split("\n")
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
        relevant = label if isinstance(label, bool) else label >= min_grade
        key = (query, candidate.document.text, candidate.document.title)
        if key not in labels:
            pairs_by_query.setdefault(query, []).append((candidate, relevant))
        elif labels[key] != relevant:
            raise _unusable(where, "an earlier line gives this pair another label")
        labels[key] = relevant
    if not pairs_by_query:
        raise InputError("There are no labels", where=str(file))
    return [
        LabelledQuery(query, tuple(c for c, _ in pairs), tuple(label for _, label in pairs))
        for query, pairs in pairs_by_query.items()
    ]


def label_candidates(
    index: Search,
    queries: Mapping[str, str],
    grades: Grades,
    *,
    candidates: int = 50,
    min_grade: int = 1,
    judged_only: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[LabelledQuery]:
    """Label the first pass's candidates by the grades of their documents.

    An unjudged candidate counts as irrelevant, or is left out with `judged_only`. Queries
    without any grade are left out. A passage has its document's grade. Raises `InputError`
    if no query of the grades is known.
    """
    judged_queries = [name for name in queries if name in grades]
    if not judged_queries:
        raise InputError(
            "No query of the grades is among the queries",
            why=f"the grades have {abbreviate(list(grades)) or 'none'}",
            fix="Give the queries and the grades of one collection.",
        )
    labelled = []
    for done, name in enumerate(judged_queries, start=1):
        response = index.search(queries[name], candidates=candidates, top_k=None, rerank=False)
        graded: list[tuple[Candidate, int | None]] = []
        for result in response.results:
            assert result.document is not None
            grade = grades[name].get(result.document_id or "")
            # Qrels may also name passages.
            grade = grades[name].get(result.id or "") if grade is None else grade
            if grade is not None or not judged_only:
                graded.append((Candidate(result.document), grade))
        if graded:
            labelled.append(
                LabelledQuery(
                    queries[name],
                    tuple(candidate for candidate, _ in graded),
                    tuple(grade is not None and grade >= min_grade for _, grade in graded),
                    sum(grade is None for _, grade in graded),
                )
            )
        if progress is not None:
            progress("retrieve", done, len(judged_queries))
    return labelled


def _unusable(where: str, why: str) -> InputError:
    return InputError(
        "A label cannot be used",
        where=where,
        why=why,
        fix='Each line must be like {"query": "…", "text": "…", "label": 1}.',
    )
