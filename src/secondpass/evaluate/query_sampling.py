"""Queries drawn from a log, so that rare ones are there too.

Queries made of documents, for want of real ones: weak, and said to be.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError
from secondpass.types import Document

WEAK = (
    "These queries are made of the documents' own words, so any system finds their sources, "
    "and word matching best of all. Use them to try things out, or to have something to "
    "judge; do not compare systems by which one finds the source."
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SENTENCE = re.compile(r"\A\s*(.+?[.!?])(?:\s|\Z)", re.DOTALL)
_MOST_WORDS = 16


@dataclass(frozen=True, slots=True)
class MadeQuery:
    """A query, of which document it was made, and of what: title, heading or sentence."""

    text: str
    source: str
    kind: str


def queries_of(document: Document) -> list[MadeQuery]:
    """Return the queries that a document gives: its title, headings, and first sentence."""
    source = document.id or ""
    found = []
    if document.title is not None and document.title.strip():
        found.append(MadeQuery(" ".join(document.title.split()), source, "title"))
    for heading in _HEADING.findall(document.text):
        found.append(MadeQuery(" ".join(heading.split()), source, "heading"))
    sentence = _SENTENCE.match(_HEADING.sub("", document.text))
    if sentence is not None:
        words = sentence[1].rstrip(".!").split()[:_MOST_WORDS]
        found.append(MadeQuery(" ".join(words), source, "sentence"))
    return [one for one in found if any(c.isalnum() for c in one.text)]


def sample_documents(
    documents: Iterable[Document], count: int, *, seed: int = 0
) -> list[MadeQuery]:
    """Return up to `count` distinct queries, one of each document as long as there are any.

    The same documents in any order give the same queries.
    """
    chance = random.Random(seed)
    sources = sorted(documents, key=lambda d: d.id or "")
    chance.shuffle(sources)
    made = [queries_of(document) for document in sources]
    for some in made:
        chance.shuffle(some)
    chosen: dict[str, MadeQuery] = {}
    while len(chosen) < count and any(made):
        for some in made:
            if some and len(chosen) < count:
                one = some.pop()
                chosen.setdefault(one.text.casefold(), one)
    return list(chosen.values())


STRATA = ("head", "torso", "tail")
_BETWEEN = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class LoggedQuery:
    """A query as most people typed it, how often it was asked, and its stratum."""

    text: str
    count: int
    stratum: str


def read_log(file: Path) -> list[LoggedQuery]:
    """Return the distinct queries of a log, the most frequent first.

    A line is a query, `query TAB count`, or JSON with `query` (or `text`) and an optional
    `count`. Queries that differ only in case, punctuation and spaces are one. Head are
    those that make up the first third of all that was asked, torso the second, tail the
    rest. Raises `InputError` for a line that cannot be used, or an empty log.
    """
    seen: dict[str, dict[str, int]] = {}
    for number, line in _lines(file):
        text, count = _entry(f"{file}, line {number}", line)
        key = _BETWEEN.sub(" ", text.casefold()).strip()
        if key:
            forms = seen.setdefault(key, {})
            forms[text] = forms.get(text, 0) + count
    if not seen:
        raise InputError("There are no queries", where=str(file))
    counted = [(max(sorted(f), key=f.__getitem__), sum(f.values())) for f in seen.values()]
    return _stratified(counted)


def sample_log(
    queries: Iterable[LoggedQuery], count: int, *, seed: int = 0
) -> list[LoggedQuery]:
    """Return `count` queries, as many from each stratum as there are, the most frequent first.

    Within a stratum each query is as likely as any other. A stratum that is too small is
    made up for by the next; fewer queries than `count` come back whole.
    """
    chance = random.Random(seed)
    left = {name: [q for q in queries if q.stratum == name] for name in STRATA}
    for some in left.values():
        chance.shuffle(some)
    chosen: list[LoggedQuery] = []
    while len(chosen) < count and any(left.values()):
        for name in STRATA:
            if left[name] and len(chosen) < count:
                chosen.append(left[name].pop())
    return sorted(chosen, key=lambda q: (-q.count, q.text))


def _stratified(counted: list[tuple[str, int]]) -> list[LoggedQuery]:
    total = sum(count for _, count in counted)
    found, before = [], 0
    for text, count in sorted(counted, key=lambda row: (-row[1], row[0])):
        # By where a query begins in the traffic, so that the most frequent is always head.
        stratum = STRATA[min(2, 3 * before // total)]
        found.append(LoggedQuery(text, count, stratum))
        before += count
    return found


def _entry(where: str, line: str) -> tuple[str, int]:
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


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError("The log cannot be read", where=str(file), why=str(error)) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")
