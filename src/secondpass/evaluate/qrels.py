"""Judgements from files and to files: TREC qrels, BEIR's tables, JSON lines.

Pairs that somebody called relevant or not, by query.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import InputError, nearest
from secondpass.evaluate.text_files import Line, check_cells, is_json, split_lines, write_lines
from secondpass.inference.tokenizer import clean
from secondpass.rerank.inputs import to_candidates
from secondpass.retrieve.loaders.jsonl import plain_or_gzipped, rows
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.index.index import Index


Grades = Mapping[str, Mapping[str, int]]
"""By query id, then by document id."""

_FIX = (
    "Each line must be: query id, 0, document id, grade (TREC), or query id, tab, document"
    " id, tab, grade (BEIR)."
)


@dataclass(frozen=True, slots=True)
class Qrels:
    """Judgements as a file gave them.

    - `grades`: 0 is not relevant, above 0 is relevant; negative grades have become 0.
    - `repeated`: lines that said again what another one said; `negative`: grades below 0.
    """

    grades: Grades
    repeated: int = 0
    negative: int = 0


def read_qrels(path: Path, split: str = "test", *, may_be_empty: bool = False) -> Qrels:
    """Return the judgements of a file, or of `qrels/SPLIT.tsv` in a BEIR folder.

    Reads TREC qrels (4 columns), BEIR's tables (3 columns parted by tabs, with or without
    a header) and JSON lines with `query_id`, `doc_id` and `grade`, gzipped or not. A
    judgement that stands twice counts once. A grade below 0 counts as judged and not
    relevant. Raises InputError for two grades of one document, a grade that is no whole
    number, or a file without judgements unless it `may_be_empty`; ReadError for a damaged
    file.
    """
    file = _split(path, split) if path.is_dir() else path
    found: dict[str, dict[str, int]] = {}
    repeated = negative = 0
    for where, query, document, grade in _from_json(file) if is_json(file) else _lines(file):
        judged = found.setdefault(query, {})
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
    if not found and not may_be_empty:
        raise InputError("there are no judgements", where=str(file), fix=_FIX)
    grades = {q: {d: max(0, g) for d, g in judged.items()} for q, judged in found.items()}
    return Qrels(grades, repeated, negative)


def write_qrels(grades: Grades, path: Path) -> None:
    """Write judgements: JSON lines to `.jsonl`, else TREC qrels; `.gz` is compressed.

    Raises InputError for an id with white space in a TREC file.
    """
    rows = [(q, d, grade) for q, judged in grades.items() for d, grade in judged.items()]
    if is_json(path):
        objects = ({"query_id": q, "doc_id": d, "grade": grade} for q, d, grade in rows)
        write_lines(path, (json.dumps(one, ensure_ascii=False) for one in objects))
        return
    for query, document, _ in rows:
        check_cells("qrels file", query, document)
    write_lines(path, (f"{q} 0 {d} {grade}" for q, d, grade in rows))


def _split(folder: Path, split: str) -> Path:
    file = plain_or_gzipped(folder / "qrels" / f"{split}.tsv")
    if file is None:
        files = (folder / "qrels").glob("*.tsv*")
        known = sorted({one.name.partition(".tsv")[0] for one in files})
        raise InputError(
            f"there is no split {split!r}",
            where=str(folder / "qrels"),
            fix=nearest(split, known) if known else "Name the file of the judgements.",
        )
    return file


def _from_json(file: Path) -> Iterator[tuple[str, str, str, int]]:
    for row in rows(file):
        names = [("query_id", "query-id", "qid"), ("doc_id", "corpus-id", "docid")]
        query, document = (
            clean(row.name(next((n for n in kinds if n in row.values), kinds[0])))
            for kinds in names
        )
        kinds = ("grade", "relevance", "score", "label")
        grade = row.values.get(next((n for n in kinds if n in row.values), "grade"))
        if type(grade) is not int:
            raise row.wrong(f"'grade' is {grade!r}, and must be a whole number")
        yield row.where, query, document, grade


def _lines(file: Path) -> Iterator[tuple[str, str, str, int]]:
    for line in split_lines(file, None):
        tabs = line.text.split("\t")
        if len(tabs) == 3:
            if line.number == 1 and _grade(tabs[2]) is None:
                continue
            query, document, grade = tabs
        elif len(line.cells) == 4:
            query, _, document, grade = line.cells
        else:
            raise line.wrong("it has neither 4 columns nor 3 parted by tabs", _FIX)
        yield line.where, query.strip(), document.strip(), _whole(line, grade)


def _whole(line: Line, text: str) -> int:
    grade = _grade(text)
    if grade is None:
        raise line.wrong(f"the grade {text!r} is no whole number", _FIX)
    return grade


def _grade(text: str) -> int | None:
    text = text.strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() else None


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
