"""Query sets: named queries with judgments, kept as files beside an index."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError, nearest
from secondpass.evaluate.collection import Collection, build_collection
from secondpass.evaluate.qrels import Grades, Qrels, read_qrels, write_qrels
from secondpass.evaluate.queries import read_queries
from secondpass.evaluate.text_files import write_lines
from secondpass.inference.unicode import clean
from secondpass.storage import exclusive

FOLDER = "query-sets"
"""The folder of query sets in that of an index."""
JUDGED = "judged"
"""The set that judgments are added to where none is named; it is there from the start."""
MAX_GRADE = 3
"""The highest grade: 0 is not relevant, 3 is perfect."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_QUERIES, _QRELS = "queries.jsonl", "qrels.jsonl"


@dataclass(frozen=True, slots=True)
class QuerySet:
    """Queries by id, and their judgments: grades by query id, then by document id."""

    name: str
    queries: Mapping[str, str]
    grades: Grades

    @property
    def judgments(self) -> int:
        """The number of grades."""
        return sum(map(len, self.grades.values()))

    def find(self, query: str) -> str | None:
        """Return the id of the query with this text, or None."""
        return next((q for q, text in self.queries.items() if text == query), None)

    def collection(self) -> Collection:
        """Return the queries that are judged; raises InputError where nothing is relevant."""
        return build_collection(self.name, self.queries, Qrels(self.grades))


class QuerySets:
    """The query sets in a folder: `NAME/queries.jsonl` and `NAME/qrels.jsonl`.

    Each file is replaced in one atomic step. Safe for several threads and processes. The files
    are those that `secondpass report --queries … --qrels …` reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the names of the sets, `JUDGED` among them, sorted."""
        stored = set()
        if self.folder.is_dir():
            stored = {p.name for p in self.folder.iterdir() if (p / _QUERIES).is_file()}
        return sorted(stored | {JUDGED})

    def read(self, name: str) -> QuerySet:
        """Return a set.

        Raises InputError where there is none of that name, or a file that was edited is not
        valid; ReadError for one that cannot be read.
        """
        folder = self._folder(name)
        queries, qrels = folder / _QUERIES, folder / _QRELS
        if not queries.is_file():
            if name == JUDGED:
                return QuerySet(name, {}, {})
            raise InputError(f"there is no query set {name!r}", fix=nearest(name, self.names()))
        texts = read_queries(queries) if queries.stat().st_size else {}
        grades: Grades = {}
        if qrels.is_file():
            grades = read_qrels(qrels, may_be_empty=True).grades
        return QuerySet(name, texts, grades)

    def write(self, query_set: QuerySet) -> None:
        """Store a set, in the place of one of that name.

        Raises InputError for a name that is not 1 to 100 letters, digits, "_" and "-", a query
        without text or id, grades of an unknown query, and grades that are not whole numbers
        from 0 up; OSError where the folder cannot be written.
        """
        _check(query_set)
        folder = self._folder(query_set.name)
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / ".lock"):
            self._replace(folder, query_set)

    def delete(self, name: str) -> QuerySet:
        """Delete a set and return it; raises InputError where there is none."""
        query_set = self.read(name)
        if self._folder(name).is_dir():
            with exclusive(self.folder / ".lock"):
                shutil.rmtree(self._folder(name), ignore_errors=True)
        return query_set

    def judge(
        self, name: str, query: str, grades: Mapping[str, int | None]
    ) -> tuple[str, dict[str, int]]:
        """Set the grades of documents for a query; return its id and all of its grades.

        None removes a grade. A query that the set does not have is added. Raises InputError
        for a set that there is not, an empty query, and a grade that is not 0 to 3.
        """
        query = clean(query.strip())
        folder = self._folder(name)
        _check_grades({d: g for d, g in grades.items() if g is not None}, MAX_GRADE)
        if not query:
            raise InputError("the query is empty", fix="Judge documents for a query.")
        if name == JUDGED:
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise InputError(f"there is no query set {name!r}", fix=nearest(name, self.names()))
        with exclusive(self.folder / ".lock"):
            before = self.read(name)
            query_id = before.find(query)
            if query_id is None:
                query_id = _new_id(before.queries)
            judged = {**before.grades.get(query_id, {})}
            for document, grade in grades.items():
                if grade is None:
                    judged.pop(document, None)
                else:
                    judged[document] = grade
            queries = {**before.queries, query_id: query}
            everything = {**before.grades, query_id: judged}
            self._replace(folder, QuerySet(name, queries, everything))
        return query_id, judged

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"a query set cannot be named {name!r:.120}",
                why="it names a folder",
                fix='Use 1 to 100 letters, digits, "_" and "-", no "-" at the beginning.',
            )
        return self.folder / name

    def _replace(self, folder: Path, query_set: QuerySet) -> None:
        # Queries first: a crash leaves one without grades, and no grade without its query.
        write_lines(folder / _QUERIES, query_lines(query_set))
        write_qrels(query_set.grades, folder / _QRELS)


def query_lines(query_set: QuerySet) -> list[str]:
    """Return the queries as lines of JSON with `_id` and `text`."""
    return [
        json.dumps({"_id": name, "text": text}, ensure_ascii=False)
        for name, text in query_set.queries.items()
    ]


def to_name(text: str) -> str:
    """Return a text as a name that a set can have."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:100]
    return name or "queries"


def keep_queries(corpus: Path, index: Path, name: str) -> QuerySet | None:
    """Keep the judged queries of a BEIR folder with its index, as a query set.

    Returns None, and stores nothing, where the folder has no queries or no judgments
    (`qrels/test.tsv`), or the index has the set already. Raises InputError for files that are
    not valid.
    """
    sets = QuerySets(index / FOLDER)
    queries, qrels = corpus / "queries.jsonl", corpus / "qrels" / "test.tsv"
    if not (queries.is_file() and qrels.is_file()) or name in sets.names():
        return None
    texts, grades = read_queries(queries), read_qrels(qrels).grades
    judged = {query: text for query, text in texts.items() if query in grades}
    query_set = QuerySet(name, judged, {query: grades[query] for query in judged})
    sets.write(query_set)
    return query_set


def _new_id(queries: Mapping[str, str]) -> str:
    number = len(queries) + 1
    while f"q{number}" in queries:
        number += 1
    return f"q{number}"


def _check(query_set: QuerySet) -> None:
    for name, text in query_set.queries.items():
        if not name.strip() or not text.strip():
            raise InputError(f"query {name!r:.100} has no text or no id")
    for name, grades in query_set.grades.items():
        if name not in query_set.queries:
            raise InputError(
                f"there are grades of the query {name!r:.100}, which is not in the set",
                fix="Give its text among the queries, or leave its grades out.",
            )
        # Collections of others have grades above ours.
        _check_grades(grades, None)


def _check_grades(grades: Mapping[str, int], highest: int | None) -> None:
    for document, grade in grades.items():
        if not document:
            raise InputError("a grade has no document id")
        if type(grade) is not int or grade < 0 or (highest is not None and grade > highest):
            raise InputError(
                f"the grade of document {document!r:.100} is {grade!r}",
                fix=f"Grades are whole numbers from 0 (not relevant) to {MAX_GRADE} (perfect).",
            )
