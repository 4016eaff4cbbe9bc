"""Query sampling: from a query log by frequency, or made from documents."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError
from secondpass.retrieve.loaders.base import lines
from secondpass.types import Document

STRATA = ("head", "torso", "tail")
_SEPARATORS = re.compile(r"[\W_]+")

DOCUMENT_QUERIES_WARNING = (
    "These queries are made of the documents' own words, so any system finds their sources, "
    "and word matching best of all. Use them to try things out, or to have something to "
    "judge; do not compare systems by which one finds the source."
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_FIRST_SENTENCE = re.compile(r"\A\s*+(.+?[.!?])(?:\s|\Z)", re.DOTALL)
_MAX_WORDS = 16


@dataclass(frozen=True, slots=True)
class LoggedQuery:
    """A logged query in its most frequent spelling, how often it occurs, and its stratum."""

    text: str
    count: int
    stratum: str


def read_query_log(file: Path) -> list[LoggedQuery]:
    """Return the distinct queries of a log, the most frequent first.

    A line is a query, `query TAB count`, or JSON with `query` (or `text`) and an optional
    `count`. Queries that differ only in case, punctuation and spaces are one. Head queries
    make up the first third of the traffic, torso queries the second, tail queries the rest.
    Raises `InputError` for an invalid line, or an empty log.
    """
    spellings: dict[str, dict[str, int]] = {}
    for number, line in _read_lines(file):
        text, count = _parse_line(f"{file}, line {number}", line)
        key = _SEPARATORS.sub(" ", text.casefold()).strip()
        if key:
            counts = spellings.setdefault(key, {})
            counts[text] = counts.get(text, 0) + count
    if not spellings:
        raise InputError("There are no queries", where=str(file))
    return _stratify(
        [
            (max(sorted(counts), key=counts.__getitem__), sum(counts.values()))
            for counts in spellings.values()
        ]
    )


def sample_query_log(
    queries: Iterable[LoggedQuery], count: int, *, seed: int = 0
) -> list[LoggedQuery]:
    """Return `count` queries, equally many from each stratum, the most frequent first.

    Within a stratum each query is equally likely. If a stratum is too small, the others
    fill the sample; fewer queries than `count` are returned whole.
    """
    generator = random.Random(seed)
    remaining = {name: [q for q in queries if q.stratum == name] for name in STRATA}
    for stratum in remaining.values():
        generator.shuffle(stratum)
    sample: list[LoggedQuery] = []
    while len(sample) < count and any(remaining.values()):
        for name in STRATA:
            if remaining[name] and len(sample) < count:
                sample.append(remaining[name].pop())
    return sorted(sample, key=lambda q: (-q.count, q.text))


def _stratify(counted: list[tuple[str, int]]) -> list[LoggedQuery]:
    total = sum(count for _, count in counted)
    queries, more_frequent = [], 0
    for text, count in sorted(counted, key=lambda row: (-row[1], row[0])):
        # By where a query begins in the traffic, so that the most frequent is always head.
        stratum = STRATA[min(2, 3 * more_frequent // total)]
        queries.append(LoggedQuery(text, count, stratum))
        more_frequent += count
    return queries


def _parse_line(where: str, line: str) -> tuple[str, int]:
    text: object = line
    count: object = 1
    if line.lstrip().startswith("{"):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError("A line is not JSON", where=where, why=str(error)) from error
        text, count = row.get("query", row.get("text")), row.get("count", 1)
    elif "\t" in line:
        text, _, last = line.rpartition("\t")
        try:
            count = int(last)
        except ValueError:
            text, count = line, 1
    if not isinstance(text, str) or type(count) is not int or count < 1:
        raise InputError(
            "A logged query cannot be used",
            where=where,
            fix='Each line must be a query, "query TAB count", or '
            '{"query": "…", "count": 3} with a whole number from 1 up.',
        )
    return " ".join(text.split()), count


def _read_lines(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in lines(file):
        if line.strip():
            yield number, line.rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """A query made from the title, a heading or the first sentence (`kind`) of a document."""

    text: str
    source: str
    kind: str


def make_queries(document: Document) -> list[DocumentQuery]:
    """Return the queries that a document gives: its title, headings, and first sentence."""
    source = document.id or ""
    queries = []
    if document.title is not None and document.title.strip():
        queries.append(DocumentQuery(" ".join(document.title.split()), source, "title"))
    for heading in _HEADING.findall(document.text):
        queries.append(DocumentQuery(" ".join(heading.split()), source, "heading"))
    sentence = _FIRST_SENTENCE.match(_HEADING.sub("", document.text))
    if sentence is not None:
        words = sentence[1].rstrip(".!").split()[:_MAX_WORDS]
        queries.append(DocumentQuery(" ".join(words), source, "sentence"))
    return [query for query in queries if any(c.isalnum() for c in query.text)]


def sample_document_queries(
    documents: Iterable[Document], count: int, *, seed: int = 0
) -> list[DocumentQuery]:
    """Return up to `count` distinct queries, one of each document as long as there are any.

    The same documents in any order give the same queries.
    """
    generator = random.Random(seed)
    sources = sorted(documents, key=lambda d: d.id or "")
    generator.shuffle(sources)
    queries_by_document = [make_queries(document) for document in sources]
    for queries in queries_by_document:
        generator.shuffle(queries)
    sample: dict[str, DocumentQuery] = {}
    while len(sample) < count and any(queries_by_document):
        for queries in queries_by_document:
            if queries and len(sample) < count:
                query = queries.pop()
                sample.setdefault(query.text.casefold(), query)
    return list(sample.values())
