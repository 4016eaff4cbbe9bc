"""Test collections in BEIR layout, from files with or without gzip."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from secondpass import Document

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
    return [name for name in names if _find(folder(name) / "corpus.jsonl") is None]


def load(
    name: str, limit: int | None = None, run: str | None = None, judged: str = "test.tsv"
) -> Collection:
    """Read a collection: the queries that the file `judged` judges, the first `limit`."""
    where = folder(name)
    qrels: dict[str, dict[str, int]] = {}
    for line in list(_lines(where / "qrels" / judged))[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    wording = {
        row["_id"]: row["text"] for row in map(json.loads, _lines(where / "queries.jsonl"))
    }
    kept = [query for query in wording if query in qrels][:limit]
    documents = [
        Document(row["text"], id=row["_id"], title=row.get("title") or None)
        for row in map(json.loads, _lines(where / "corpus.jsonl"))
    ]
    runs: dict[str, list[tuple[str, float]]] = {}
    for line in _lines(where / "candidates" / run) if run is not None else ():
        query, _, document, _, score, _ = line.split()
        runs.setdefault(query, []).append((document, float(score)))
    return Collection(
        name, documents, {q: wording[q] for q in kept}, {q: qrels[q] for q in kept}, runs
    )


def _find(path: Path) -> Path | None:
    zipped = path.with_name(path.name + ".gz")
    return path if path.is_file() else zipped if zipped.is_file() else None


def _lines(path: Path) -> Iterator[str]:
    found = _find(path)
    if found is None:
        raise FileNotFoundError(path)
    opener = gzip.open if found.suffix == ".gz" else open
    with opener(found, "rt", encoding="utf-8") as file:
        yield from (line.rstrip("\n") for line in file if line.strip())
