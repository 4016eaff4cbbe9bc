"""Workloads: queries with their candidates, by collection and number of candidates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from beir import load, missing

from speed.bm25 import Bm25

SAMPLE = "sample"
QUERIES = {1: 20, 20: 6, 50: 3, 100: 2, 1000: 1}
"""Queries for each round by the number of candidates: fewer if they take long."""
CLIENTS = 8
MAIN = "squad-dev"


@dataclass(frozen=True)
class Query:
    """A question and its candidate texts."""

    text: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Workload:
    """Queries of one size; `clients` run at once, each with queries of its own."""

    collection: str
    candidates: int
    clients: int
    queries: int

    @property
    def name(self) -> str:
        """The name in tables and files."""
        crowd = f" x {self.clients} clients" if self.clients > 1 else ""
        return f"{self.collection}, {self.candidates}{crowd}"


def plan(collections: Sequence[str], sizes: Sequence[int], *, quick: bool) -> list[Workload]:
    """Return all workloads, the main collection first and small before large.

    In that order the peak memory after each is the workload's own. Only the main collection has
    one pair alone, 1,000 candidates, and several clients.
    """
    workloads = []
    for collection in collections:
        main = collection == collections[0]
        for size in sorted({1, *sizes} if main else {s for s in sizes if 1 < s < 1000}):
            count = 1 if quick else QUERIES.get(size, 2)
            workloads.append(Workload(collection, size, 1, 5 if quick and size == 1 else count))
        if main:
            workloads.append(Workload(collection, min(sizes), CLIENTS, 1 if quick else 2))
    return workloads


class Queries:
    """The queries of a collection, each with candidates of BM25."""

    def __init__(self, collection: str) -> None:
        qrels = "test_1000.tsv" if collection == MAIN else "test.tsv"
        test_collection = load(collection, qrels=qrels)
        self.texts = [f"{d.title or ''} {d.text}".strip() for d in test_collection.documents]
        self.questions = list(test_collection.queries.values())
        self._search = Bm25(self.texts)
        self._queries: dict[tuple[int, int], Query] = {}

    @property
    def digest(self) -> str:
        """A digest of all questions and texts."""
        digest = hashlib.sha256()
        for text in (*self.questions, *self.texts):
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()[:16]

    def of_round(self, workload: Workload, number: int) -> Iterator[Query]:
        """Yield the queries of a round: others in each round, the same for all engines."""
        count = workload.queries * workload.clients
        for i in range(number * count, (number + 1) * count):
            yield self.query(i % len(self.questions), workload.candidates)

    def query(self, number: int, size: int) -> Query:
        """Return a question with its top `size` texts; cached."""
        key = (number, size)
        if key not in self._queries:
            question = self.questions[number]
            top = self._search.top(question, size)
            self._queries[key] = Query(question, tuple(self.texts[p] for p in top))
        return self._queries[key]


def available(names: Sequence[str]) -> list[str]:
    """Return the collections that exist, or the sample if there are none."""
    absent = set(missing(list(names)))
    return [name for name in names if name not in absent] or [SAMPLE]
