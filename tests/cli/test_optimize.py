"""`secondpass optimize`, and what `doctor` says of an index."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

import secondpass.cli.doctor
from secondpass import Index
from secondpass.plain_progress import PlainProgress
from tests.cli.conftest import Run


@pytest.fixture
def index(sample_index: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(sample_index, tmp_path / "index"))
    # Searches of other tests left states under their own options in the one that is shared.
    with Index.open(copy) as opened:
        opened.optimize()
    return copy


def delete_some(index: Path) -> None:
    with Index.open(index) as opened:
        ids = sorted({str(d.id) for batch in opened.iter_documents() for d in batch})
        opened.delete(ids[:50])


def count_states(index: Path) -> int:
    (file,) = index.glob("states-*.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM states").fetchone()[0])


def contents(index: Path) -> dict[Path, tuple[bytes, int]]:
    files = (file for file in index.rglob("*") if file.is_file())
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_states_of_deleted_passages_are_removed_and_counted(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondpass.plain_progress.BEGIN_AFTER", 0.0)
    stages: list[str] = []
    update = PlainProgress.update

    def note(self: PlainProgress, stage: str, done: int, total: int | None) -> None:
        stages.append(stage)
        update(self, stage, done, total)

    monkeypatch.setattr(PlainProgress, "update", note)
    delete_some(index)
    before = count_states(index)
    ran = run("optimize", "--index", index)
    removed = before - count_states(index)
    assert 40 < removed < 60
    assert ran.code == 0
    assert f"{index}: {removed} stored states that no passage needs were removed" in ran.err
    assert "bytes smaller; 0 windows without states were encoded" in ran.err
    assert list(dict.fromkeys(stages)) == ["start", "merge", "check", "remove", "encode"]
    assert "check: " in ran.err
    report = run("optimize", "--index", index, "--json").json
    assert (report["states_removed"], report["problem"]) == (0, None)


def test_an_index_that_is_not_there_is_an_error(run: Run, tmp_path: Path) -> None:
    ran = run("optimize", "--index", tmp_path / "none")
    assert ran.code == 1
    assert "no index" in ran.err
    assert not (tmp_path / "none").exists()


def test_states_that_could_not_be_removed_are_said(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondpass.rerank.precomputed.store._TURNS", 0)
    delete_some(index)
    (file,) = index.glob("states-*.sqlite")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ran = run("optimize", "--index", index)
    assert ran.code == 1
    assert "not all were removed" in ran.err
    assert "locked" in ran.err


def test_doctor_samples_a_large_index_and_writes_nothing(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = index.glob("states-*.sqlite")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM cuts")
        connection.execute("DELETE FROM states WHERE rowid % 2 = 0")
    before = contents(index)
    (found,) = run("doctor", "--index", index, "--json").json["indexes"]
    passages = found["passages"]
    assert found["checked_passages"] == passages
    assert 0 < found["unread_windows"] < passages
    assert found["states"] + found["unread_windows"] >= passages
    assert found["state_bytes"] == file.stat().st_size
    said = run("doctor", "--index", index).out
    assert f"{found['unread_windows']:,} windows that searches would encode; secondpass" in said
    monkeypatch.setattr(secondpass.cli.doctor, "_SAMPLED_PASSAGES", 20)
    assert "of 20 sampled passages " in run("doctor", "--index", index).out
    (sampled,) = run("doctor", "--index", index, "--json").json["indexes"]
    assert sampled["checked_passages"] == 20
    assert 0 < sampled["unread_passages"] < 20
    assert contents(index) == before
    # What is missing is made, and the choice of states stays.
    assert json.loads((index / "index.json").read_text())["states"] == "full"
    assert run("optimize", "--index", index, "--json").json["windows_read"] > 0
    (found,) = run("doctor", "--index", index, "--json").json["indexes"]
    assert found["unread_windows"] == 0
