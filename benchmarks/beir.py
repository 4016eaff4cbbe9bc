"""Test collections in BEIR layout, gzipped or not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from secondpass import Document
from secondpass.evaluate.qrels import read_qrels
from secondpass.evaluate.queries import read_queries
from secondpass.evaluate.run import Run
from secondpass.retrieve.loaders.jsonl import plain_or_gzipped, rows

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SECONDPASS_DATA", ROOT.parent / "shared" / "data"))
EVAL = DATA / "eval"


@dataclass
class Collection:
    """Documents, questions and judgments; `runs` has a run's candidates: ids, best first."""

    name: str
    documents: list[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    runs: dict[str, list[tuple[str, float]]] = field(default_factory=dict)


def collection_folder(name: str) -> Path:
    """Return the folder of a collection; "sample" is the one in the repository."""
    return ROOT / "examples" / "wikipedia" if name == "sample" else EVAL / name


def missing(names: list[str]) -> list[str]:
    """Return the names of collections that are missing."""
    return [
        name
        for name in names
        if plain_or_gzipped(collection_folder(name) / "corpus.jsonl") is None
    ]


def load(
    name: str, limit: int | None = None, run: str | None = None, qrels: str = "test.tsv"
) -> Collection:
    """Read a collection with the first `limit` of the queries judged in the file `qrels`."""
    path = collection_folder(name)
    grades = read_qrels(_existing(path / "qrels" / qrels)).grades
    texts = read_queries(path)
    query_ids = [query for query in texts if query in grades][:limit]
    documents = [
        Document(row["text"], id=row["_id"], title=row.get("title") or None)
        for row in (line.values for line in rows(_existing(path / "corpus.jsonl")))
    ]
    runs: dict[str, list[tuple[str, float]]] = {}
    if run is not None:
        own_run = Run.read(_existing(path / "candidates" / run))
        runs = {
            query: [(document, scores[document]) for document in own_run.ranking(query)]
            for query, scores in own_run.scores.items()
        }
    return Collection(
        name,
        documents,
        {query: texts[query] for query in query_ids},
        {query: dict(grades[query]) for query in query_ids},
        runs,
    )


def _existing(path: Path) -> Path:
    file = plain_or_gzipped(path)
    if file is None:
        raise FileNotFoundError(path)
    return file
