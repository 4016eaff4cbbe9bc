"""An index that an older version made is searched as it is, and migrated by the first write."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.read import TABLE
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.ingest import add_documents, ingest
from secondpass.retrieve.settings import FORMAT, read_settings
from secondpass.storage import exclusive
from secondpass.types import Document, passage_id
from tests.retrieve.hashed_embedder import HashedEmbedder

LONG = " ".join(f"word{i} of the long one." for i in range(20))


def make_older(folder: Path) -> None:
    """Turn an index into one of format 1: with a column of passage ids, and a list of files."""
    connection = lance_table.connect(folder)
    rows = connection.open_table(TABLE).to_arrow()
    is_file = pc.equal(rows["_sp_chunk"], -1)
    files = rows.filter(is_file).select(["_sp_source", "_sp_hash"]).to_pydict()
    rows = rows.filter(pc.invert(is_file))
    names = zip(rows["_sp_doc"].to_pylist(), rows["_sp_chunk"].to_pylist(), strict=True)
    ids = pa.array([passage_id(*name) for name in names], pa.string())
    rows = rows.add_column(0, pa.field("_sp_id", pa.string(), nullable=False), ids)
    table = connection.create_table(TABLE, rows, mode="overwrite")
    lance_table.index_text(table, "english")
    digests = dict(zip(files["_sp_source"], files["_sp_hash"], strict=True))
    (folder / "files.json").write_text(json.dumps({"files": digests}))
    file = folder / "index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 1}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = open_index(tmp_path / "i", chunk_tokens=20, overlap=0)
    add_documents([Document("zebra", id="z"), Document(LONG, id="a")], store, None)
    store.close()
    make_older(tmp_path / "i")
    return tmp_path / "i"


def found(store: LanceStore, query: str) -> set[tuple[str, str | None, int]]:
    hits = store.bm25(query, 100)
    return {(h.id, h.document.document_id, h.document.chunk) for h in hits}


def test_an_older_index_is_searched_without_a_write(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    store = open_index(folder)
    assert store.settings.format == 1
    assert found(store, "zebra") == {("z", "z", 0)}
    assert ("a#2", "a", 2) in found(store, "long")
    first = store.passages_of("a")[0].document
    assert first.origin is not None
    assert LONG[first.origin.start : first.origin.end] == first.text
    assert [h.key for h in store.bm25("long", 9, passages=[first])] == ["a#1"]
    assert {h.id for h in store.list_passages(limit=None)} >= {"z", "a#1"}
    assert store.lookup(["a"]).keys() == {"a"}
    after = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert after == before


def test_the_first_write_migrates_and_ids_no_longer_collide(folder: Path) -> None:
    store = open_index(folder)
    old, passages = store.version, store.count_passages()
    report = add_documents([Document("long zebra", id="a#2")], store, None)
    assert (report.added, report.stored) == (1, 1)
    assert store.count_documents() == 3
    assert store.count_passages() == passages + 1
    assert {("a#2", "a#2", 0), ("a#2", "a", 2)} <= found(store, "long")
    assert store.settings.format == read_settings(folder).format == FORMAT
    # A state of before can still be searched, and other writers need not migrate again.
    assert found(store.checkout(old), "zebra") == {("z", "z", 0)}
    assert add_documents([Document("zebra", id="z")], open_index(folder), None).unchanged == 1
    assert open_index(folder).delete(["a"]) == 1
    assert found(store, "long") == {("a#2", "a#2", 0)}


def test_a_migration_that_was_interrupted_runs_again(folder: Path) -> None:
    settings = (folder / "index.json").read_text()
    open_index(folder).delete([])
    (folder / "index.json").write_text(settings)
    store = open_index(folder)
    assert store.settings.format == 1
    assert store.delete(["z"]) == 1
    assert read_settings(folder).format == FORMAT


def test_two_open_stores_migrate_once(folder: Path) -> None:
    one, other = open_index(folder), open_index(folder)
    one.delete(["z"])
    version = one.version
    other.delete([])
    assert (other.settings.format, other.version) == (FORMAT, version)
    with exclusive(folder / ".write.lock"):
        assert found(other, "zebra") == set()


@pytest.mark.parametrize("listed", ["all", "nothing", "no list"])
def test_the_list_of_files_is_taken_over(tmp_path: Path, listed: str) -> None:
    embedder, files, folder = HashedEmbedder(), tmp_path / "files", tmp_path / "i"
    files.mkdir()
    for name in ("kept", "gone", "changed"):
        (files / f"{name}.txt").write_text(f"zebra {name}")
    store = open_index(folder, embedder)
    ingest([files], store, embedder)
    store.close()
    make_older(folder)
    if listed == "nothing":
        (folder / "files.json").write_text("[]")
    elif listed == "no list":
        (folder / "files.json").unlink()
    (files / "gone.txt").unlink()
    (files / "changed.txt").write_text("zebra renewed")
    store = open_index(folder, embedder)
    encoded = embedder.encoded
    report = ingest([files], store, embedder)
    assert embedder.encoded - encoded == 1
    assert (report.files_unchanged, report.unchanged) == ((1, 0) if listed == "all" else (0, 1))
    assert (report.files_removed, report.deleted, report.updated) == (1, 1, 1)
    assert store.files().keys() == {str(files / "kept.txt"), str(files / "changed.txt")}
    assert not (folder / "files.json").exists()
    assert ingest([files], store, embedder).files_unchanged == 2
