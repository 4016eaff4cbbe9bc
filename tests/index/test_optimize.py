"""What `optimize` removes and makes, what it says of that, and checks that write nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index, Reranker
from secondpass.index.index import OptimizeReport
from secondpass.rerank.precomputed.segments import Segmenter
from secondpass.retrieve.embedder import Embedder

QUERY = "where is the slow ship"


def open_at(place: Path, reader_folder: Path, **options: Any) -> Index:
    embedder = Embedder(reader_folder / "encoder")
    return Index.open(place, embedder=embedder, reranker=Reranker(reader_folder), **options)


def texts(start: int, stop: int) -> list[dict[str, str]]:
    return [
        {"id": f"{n}", "text": f"the slow ship {n} and the blue sea"}
        for n in range(start, stop)
    ]


def state_bytes(place: Path) -> int:
    return sum(file.stat().st_size for file in place.glob("states-*"))


def test_what_was_removed_and_made_is_counted(tmp_path: Path, reader_folder: Path) -> None:
    with open_at(tmp_path / "i", reader_folder) as index:
        index.add(texts(0, 300))
        index.add([{"id": "0", "text": "a changed text of the river"}])
        index.delete([f"{n}" for n in range(1, 100)])
        before = state_bytes(tmp_path / "i")
        report = index.optimize()
        assert (report.states_removed, report.files_removed) == (100, 0)
        assert (report.windows_read, report.problem) == (0, None)
        assert report.bytes_freed == before - state_bytes(tmp_path / "i")
        # Pages of SQLite are shared by records.
        assert report.bytes_removed == pytest.approx(report.bytes_freed, rel=0.5)
        assert index.check_states(None).states == 201
        assert index.optimize() == OptimizeReport()
    with open_at(tmp_path / "i", reader_folder, states="compact") as index:
        full = state_bytes(tmp_path / "i")
        report = index.optimize()
        assert (report.states_removed, report.files_removed) == (201, 1)
        assert report.bytes_removed == report.bytes_freed == full
    with open_at(tmp_path / "i", reader_folder, states="none") as index:
        assert index.optimize().states_removed == 201
        assert state_bytes(tmp_path / "i") == 0
    with open_at(tmp_path / "i", reader_folder, states="full") as index:
        report = index.optimize()
        assert (report.states_removed, report.windows_read) == (0, 201)


def test_each_stage_shows_how_far_it_is(tmp_path: Path, reader_folder: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def note(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, []).append((done, total))

    with open_at(tmp_path / "i", reader_folder) as index:
        index.add(texts(0, 2500))
        index.delete(["3"])
        index.optimize(progress=note)
    assert list(seen) == ["merge", "check", "remove", "encode"]
    assert seen["check"] == seen["encode"]
    assert seen["check"][0] == (0, 2499)
    assert len(seen["check"]) > 3
    assert seen["remove"][-1] == (5000, 5000)
    for stage in ("check", "remove", "encode"):
        assert seen[stage] == sorted(seen[stage])
        assert seen[stage][-1][0] == seen[stage][-1][1]


ADDING = """
import sys
from pathlib import Path
from tests.index.test_optimize import open_at, texts

with open_at(Path(sys.argv[1]), Path(sys.argv[2])) as index:
    for number in range(1000, 1200, 10):
        index.add(texts(number, number + 10))
        print("added", flush=True)
"""


def test_others_search_and_add_meanwhile(tmp_path: Path, reader_folder: Path) -> None:
    """Another process adds, and another connection searches, while states are removed."""
    place = tmp_path / "i"
    problems: list[str | None] = []
    done = threading.Event()

    def search() -> None:
        with open_at(place, reader_folder) as other:
            while not done.is_set():
                problems.append(other.search(QUERY, candidates=100).reason)

    with open_at(place, reader_folder) as index:
        index.add(texts(0, 600))
        searching = threading.Thread(target=search)
        searching.start()
        command = [sys.executable, "-c", ADDING, str(place), str(reader_folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as adding:
            assert adding.stdout is not None
            assert adding.stdout.readline() == "added\n"
            for start in range(0, 500, 100):
                index.delete([f"{n}" for n in range(start, start + 100)])
                assert index.optimize().problem is None
            adding.stdout.read()
        assert adding.returncode == 0
        done.set()
        searching.join()
        assert len(problems) > 3
        assert set(problems) == {None}
        # A state that was stored beside a removal was left, or is made again.
        index.optimize()
        check = index.check_states(None)
        assert (check.passages, check.unread_windows, check.states) == (300, 0, 300)


# --- checks


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count the texts that are tokenized."""
    found: list[object] = []
    documents = Segmenter._documents

    def counting(cutter: Segmenter, texts: Sequence[object], *rest: Any) -> Iterator[Any]:
        found.extend(texts)
        return documents(cutter, texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "_documents", counting)
    return found


def contents(place: Path) -> dict[Path, tuple[bytes, int]]:
    files = (file for file in place.rglob("*") if file.is_file())
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_check_writes_nothing_and_looks_at_a_sample(
    tmp_path: Path, reader_folder: Path, cut: list[object]
) -> None:
    place = tmp_path / "i"
    with open_at(place, reader_folder) as index:
        index.add(texts(0, 400))
    (file,) = place.glob("states-*.sqlite")
    with closing(sqlite3.connect(file)) as connection, connection:
        # What would be written anew: half of the states, and all segments.
        connection.execute("DELETE FROM states WHERE rowid % 2 = 0")
        connection.execute("DELETE FROM cuts")
    before = contents(place)
    cut.clear()
    with open_at(place, reader_folder) as index:
        found = index.check_states(50)
        assert (found.states, found.passages) == (200, 50)
        assert found.bytes == file.stat().st_size
        assert 10 < found.unread_passages == found.unread_windows < 40
        assert index.check_states(50) == found
        assert len(cut) == 100
        assert index.count_unread_windows() == 200
        assert contents(place) == before
        # What was not stored then is, once it is read.
        assert index.optimize().windows_read == 200
        cut.clear()
        assert index.check_states(50).unread_passages == 0
        assert cut == []


def test_a_sample_has_passages_only(tmp_path: Path, reader_folder: Path) -> None:
    for n in range(60):
        (tmp_path / f"{n}.txt").write_text(f"the slow ship {n} " * 60)
    with open_at(tmp_path / "i", reader_folder, chunk_tokens=40, overlap=0) as index:
        encoder = index.ingest_embedder()
        from secondpass.retrieve.ingest import ingest

        ingest([tmp_path], index.store, encoder, chunk_tokens=40, overlap=0)
        passages = {d.id for batch in index.iter_documents() for d in batch}
        assert len(passages) > 100
        # As many rows of files as of documents are in the table.
        drawn = index.store.sample_documents(80)
        assert len({d.id for d in drawn} & passages) == len(drawn)
        assert 60 <= len(drawn) <= 80
        every = index.store.sample_documents(len(passages))
        assert {d.id for d in every} == passages
