"""Test collections in BEIR layout, from files with or without gzip."""

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
    """Documents, questions and judgements; `runs` are given candidates: ids, best first."""

    name: str
    documents: list[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    runs: dict[str, list[tuple[str, float]]] = field(default_factory=dict)


def folder(name: str) -> Path:
    """Return where a collection lies; "sample" is the one that the repository ships."""
    return ROOT / "examples" / "wikipedia" if name == "sample" else EVAL / name


def missing(names: list[str]) -> list[str]:
    """Return the collections that are not there."""
    return [name for name in names if plain_or_gzipped(folder(name) / "corpus.jsonl") is None]


def load(
    name: str, limit: int | None = None, run: str | None = None, judged: str = "test.tsv"
) -> Collection:
    """Read a collection: the queries that the file `judged` judges, the first `limit`."""
    where = folder(name)
    qrels = read_qrels(_found(where / "qrels" / judged)).grades
    wording = read_queries(where)
    kept = [query for query in wording if query in qrels][:limit]
    documents = [
        Document(row["text"], id=row["_id"], title=row.get("title") or None)
        for row in (one.values for one in rows(_found(where / "corpus.jsonl")))
    ]
    runs: dict[str, list[tuple[str, float]]] = {}
    if run is not None:
        given = Run.read(_found(where / "candidates" / run))
        runs = {q: [(d, given.scores[q][d]) for d in given.ranking(q)] for q in given.scores}
    return Collection(
        name, documents, {q: wording[q] for q in kept}, {q: dict(qrels[q]) for q in kept}, runs
    )


def _found(path: Path) -> Path:
    file = plain_or_gzipped(path)
    if file is None:
        raise FileNotFoundError(path)
    return file
