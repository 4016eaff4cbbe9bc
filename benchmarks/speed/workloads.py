"""What is measured: queries with their candidates, by collection and number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from beir import load, missing

from speed.bm25 import Bm25

SAMPLE = "sample"
QUERIES = {1: 20, 20: 6, 50: 3, 100: 2, 1000: 1}
"""Queries a round by the number of candidates: fewer where one takes long."""
CLIENTS = 8
MAIN = "squad-dev"


@dataclass(frozen=True)
class Query:
    """A question and the texts that are to be ranked for it."""

    text: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Workload:
    """Queries of one size; `clients` ask at once, each its own queries."""

    collection: str
    candidates: int
    clients: int
    queries: int

    @property
    def name(self) -> str:
        """What it is called in tables and files."""
        crowd = f" x {self.clients} clients" if self.clients > 1 else ""
        return f"{self.collection}, {self.candidates}{crowd}"


def plan(collections: Sequence[str], sizes: Sequence[int], *, quick: bool) -> list[Workload]:
    """Return all workloads, the main collection first and small before large.

    In that order, so that the highest memory after each is the workload's own. Only the
    main collection has one pair alone, 1,000 candidates, and several clients.
    """
    found = []
    for collection in collections:
        main = collection == collections[0]
        for size in sorted({1, *sizes} if main else {s for s in sizes if 1 < s < 1000}):
            count = 1 if quick else QUERIES.get(size, 2)
            found.append(Workload(collection, size, 1, 5 if quick and size == 1 else count))
        if main:
            found.append(Workload(collection, min(sizes), CLIENTS, 1 if quick else 2))
    return found


class Queries:
    """The queries of a collection, each with the candidates of a BM25 first pass."""

    def __init__(self, collection: str) -> None:
        judged = "test_1000.tsv" if collection == MAIN else "test.tsv"
        read = load(collection, judged=judged)
        self.texts = [f"{d.title or ''} {d.text}".strip() for d in read.documents]
        self.questions = list(read.queries.values())
        self._search = Bm25(self.texts)
        self._found: dict[tuple[int, int], Query] = {}

    @property
    def digest(self) -> str:
        """Of all questions and texts: what a collection is known by."""
        found = hashlib.sha256()
        for text in (*self.questions, *self.texts):
            found.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return found.hexdigest()[:16]

    def of_round(self, workload: Workload, turn: int) -> Iterator[Query]:
        """Yield a round's queries; each round has others, and all engines the same."""
        count = workload.queries * workload.clients
        for i in range(turn * count, (turn + 1) * count):
            yield self.query(i % len(self.questions), workload.candidates)

    def query(self, number: int, size: int) -> Query:
        """Return a question with its best `size` texts, longest search first kept."""
        key = (number, size)
        if key not in self._found:
            question = self.questions[number]
            best = self._search.best(question, size)
            self._found[key] = Query(question, tuple(self.texts[p] for p in best))
        return self._found[key]


def available(wanted: Sequence[str]) -> list[str]:
    """Return the collections that are there, or the sample where none is."""
    absent = set(missing(list(wanted)))
    return [name for name in wanted if name not in absent] or [SAMPLE]
