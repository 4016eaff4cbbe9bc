"""What tests of bulk work share: a small corpus, and what an index holds."""

from __future__ import annotations

import importlib.util
import json
import random
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from secondpass.errors import ReadError
from secondpass.index.index import Index
from secondpass.retrieve.ingest import ingest
from secondpass.retrieve.ingest_report import IngestReport

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra ray is not installed"
)

_TEXT = (
    "river meets the sea bread water tea steep green minutes coffee grind index search vector "
    "model passage query token score stream mountain winter market engine table"
)
_WORDS = _TEXT.split()
CHUNK_TOKENS, OVERLAP = 64, 8


def write_corpus(folder: Path, rows: int = 140) -> Path:
    """Write 12 text files, one of them unreadable, and a table of rows, one of them twice."""
    chance = random.Random(7)
    folder.mkdir()

    def text(words: int) -> str:
        return " ".join(chance.choice(_WORDS) for _ in range(words))

    for i in range(11):
        (folder / f"note-{i:02}.txt").write_text(text(chance.choice([5, 60, 300])))
    (folder / "note-05-bad.txt").write_bytes("Gr\xf6\xdfe".encode("latin-1") * 20)
    lines = [
        {"_id": f"row-{i % (rows - 1)}", "title": text(1), "text": text(12), "year": i}
        for i in range(rows)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


def open_index(place: str | Path, **options: Any) -> Index:
    return Index.open(place, chunk_tokens=CHUNK_TOKENS, overlap=OVERLAP, **options)


def index_here(corpus: Path, place: Path) -> IngestReport:
    """Index in this process alone; errors of files are in the report."""
    errors: list[ReadError] = []
    with open_index(place) as index:
        return ingest([corpus], index.store, index.ingest_embedder(), on_error=errors.append)


class Content(NamedTuple):
    """All rows of the table, with their vectors, and all rows of the files of states."""

    rows: list[str]
    states: list[Any]
    segments: list[Any]


def content(index: Index) -> Content:
    """Return what an open index holds, in an order that does not depend on the writes."""
    table = index.store._table.search().limit(None).to_list()
    (file,) = index.store.states_folder.glob("states-*.sqlite")
    connection = sqlite3.connect(file)
    try:
        states = sorted(connection.execute("SELECT * FROM states"))
        segments = sorted(connection.execute("SELECT * FROM cuts"))
    finally:
        connection.close()
    return Content(sorted(repr(sorted(row.items())) for row in table), states, segments)


def stored(place: str | Path, **options: Any) -> Content:
    with open_index(place, **options) as index:
        return content(index)


def counts(report: IngestReport) -> dict[str, Any]:
    """Return what a report counts, without durations."""
    names = ("files", "documents", "added", "updated", "unchanged", "empty", "passages")
    errors = [str(error) for error in report.errors]
    numbers = {name: getattr(report, name) for name in (*names, "stored", "duplicates")}
    return {**numbers, "errors": errors, "differences": report.differences}
