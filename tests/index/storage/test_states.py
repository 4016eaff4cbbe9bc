"""Token states that travel with the versions of an index."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index, Reranker
from secondpass.index.storage.store import RemoteStore
from secondpass.rerank.precomputed.removal import KeySet
from secondpass.rerank.precomputed.state_files import (
    count_states,
    export_states,
    import_states,
    last_rows,
)
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Segments
from secondpass.retrieve.embedder import Embedder
from tests.cluster.local_shards import wait_until
from tests.rerank.precomputed.test_store import key, record

TEXTS = [{"id": f"{n}", "text": f"the slow ship {n} and the blue sea"} for n in range(6)]
QUERY = "where is the ship"


def open_at(place: Path, reader_folder: Path, machine: str, **more: Any) -> Index:
    return Index.open(
        f"{place.as_uri()}/shared",
        local_folder=place / machine,
        embedder=Embedder(reader_folder / "encoder"),
        reranker=Reranker(reader_folder),
        **more,
    )


def tokens(index: Index) -> int:
    return index.search(QUERY, top_k=None).usage.tokens


def files(index: Index) -> list[str]:
    assert isinstance(index.store, RemoteStore)
    return [path for path in index.store.remote.files if path.startswith("states/")]


def test_a_reader_encodes_its_query_only(tmp_path: Path, reader_folder: Path) -> None:
    writer = open_at(tmp_path, reader_folder, "one")
    writer.add(TEXTS[:4])
    expected = writer.search(QUERY, top_k=None).results
    reader = open_at(tmp_path, reader_folder, "two", create=False)
    assert reader.count_unread_windows() == 0
    query = reader.embedder.count_tokens(QUERY) + 2
    assert tokens(reader) == query
    assert reader.search(QUERY, top_k=None).results == expected
    writer.add(TEXTS[4:])
    assert isinstance(reader.store, RemoteStore)
    reader.store.refresh()
    assert reader.count() == 6
    assert reader.count_unread_windows() == 0
    assert tokens(reader) == query
    # A file for each write that had new ones, and none for states that came from a version.
    assert len(files(writer)) == 2
    writer.close()
    with open_at(tmp_path, reader_folder, "two") as other:
        other.delete(["0"])
        assert len(files(other)) == 2
    reader.close()


def test_optimizing_makes_one_file_and_drops_the_rest(
    tmp_path: Path, reader_folder: Path
) -> None:
    with open_at(tmp_path, reader_folder, "one") as writer:
        for n in range(10):
            writer.add([{"id": f"{n}", "text": f"the sea {n} and a ship " * (n + 1)}])
        writer.delete([f"{n}" for n in range(5)])
        assert len(files(writer)) == 10
        writer.optimize()
        assert len(files(writer)) == 1
        (store,) = writer._states._stores.values()
        count = store.count()
    with open_at(tmp_path, reader_folder, "two") as reader:
        assert reader.count_unread_windows() == 0
        (store,) = reader._states._stores.values()
        assert store.count() == count
        reader.optimize()
        assert len(files(reader)) == 1


def states_of(index: Index) -> StateStore:
    (store,) = index._states._stores.values()
    return store


def published(index: Index) -> int:
    return sum(count_states(index.folder / path) for path in files(index))


def test_states_that_optimize_removed_go_from_versions_and_from_all_machines(
    tmp_path: Path, reader_folder: Path
) -> None:
    writer = open_at(tmp_path, reader_folder, "one")
    writer.add(TEXTS[:4])
    writer.add(TEXTS[4:])
    reader = open_at(tmp_path, reader_folder, "two", create=False)
    reader.search(QUERY)
    assert states_of(reader).count() == 6
    writer.delete(["0", "1", "5"])
    report = writer.optimize()
    assert (report.states_removed, report.windows_read) == (3, 0)
    assert (len(files(writer)), published(writer)) == (1, 3)
    # States that are stored after a removal are published as well, though their rows have
    # numbers that were used before.
    writer.add([{"id": "new", "text": "a new bridge"}])
    assert published(writer) == 4
    assert isinstance(reader.store, RemoteStore)
    wait_until(lambda: states_of(reader).count() == 4 and reader.count() == 4)
    assert tokens(reader) == reader.embedder.count_tokens(QUERY) + 2
    writer.close()
    reader.close()
    with open_at(tmp_path, reader_folder, "three", create=False) as other:
        assert other.check_states(None).unread_windows == 0
        assert states_of(other).count() == 4


def test_files_with_few_states_too_many_are_not_uploaded_again(
    tmp_path: Path, reader_folder: Path
) -> None:
    with open_at(tmp_path, reader_folder, "one") as writer:
        writer.add([{"id": f"{n}", "text": f"the slow ship {n}"} for n in range(40)])
        (before,) = files(writer)
        writer.delete(["0"])
        assert writer.optimize().states_removed == 1
        assert files(writer) == [before]
        assert states_of(writer).count() == 39
        writer.delete([f"{n}" for n in range(1, 10)])
        writer.optimize()
        (after,) = files(writer)
        assert after != before
        assert published(writer) == 30


def test_what_optimize_makes_is_published_after_what_it_removes(
    tmp_path: Path, reader_folder: Path
) -> None:
    with open_at(tmp_path, reader_folder, "one") as writer:
        writer.add([{"id": f"{n}", "text": f"the slow ship {n}"} for n in range(40)])
        connection = sqlite3.connect(states_of(writer).file)
        with connection:
            connection.execute("DELETE FROM states WHERE rowid = 6")
        connection.close()
        # The row that is made anew has the number of the one that is removed.
        writer.delete(["39"])
        report = writer.optimize()
        assert (report.states_removed, report.windows_read) == (1, 1)
        assert (len(files(writer)), published(writer)) == (2, 41)


def test_an_index_without_states_has_none(tmp_path: Path, reader_folder: Path) -> None:
    with open_at(tmp_path, reader_folder, "one", keep_states=False) as writer:
        writer.add(TEXTS)
        assert files(writer) == []


# --- the files


def store_at(file: Path) -> StateStore:
    return StateStore(file, digest="d", codes=8, dimension=4)


def test_files_are_exported_and_taken_in_once(tmp_path: Path) -> None:
    one, other = store_at(tmp_path / "one"), store_at(tmp_path / "other")
    one.put([(key(n), record(n)) for n in range(5000)])
    first = last_rows(one.file)
    assert first == {"states": 5000, "cuts": 0}
    assert export_states(one.file, tmp_path / "x" / "a", {}) is None
    assert import_states(tmp_path / "x" / "a", other.file) is None
    names = [key(n) for n in range(6000)]
    assert other.get(names).records.keys() == one.get(names).records.keys()
    one.put([(key(n), record(n)) for n in range(5000, 5010)])
    assert export_states(one.file, tmp_path / "x" / "b", first) is None
    assert len(store_at(tmp_path / "x" / "b").get(names).records) == 10
    assert import_states(tmp_path / "x" / "b", other.file) is None
    assert other.count() == 5010
    other.keep_only(KeySet(), KeySet())
    assert import_states(tmp_path / "x" / "a", other.file) is None
    assert other.count() == 0
    # Where there is nothing new there is no file.
    assert export_states(one.file, tmp_path / "x" / "c", last_rows(one.file)) is None
    assert export_states(tmp_path / "nothing", tmp_path / "x" / "c", {}) is None
    assert not (tmp_path / "x" / "c").exists()
    one.close()
    other.close()


def segments(*numbers: int) -> Segments:
    spans = tuple((0, 1) for _ in numbers)
    lengths = tuple(5 for _ in numbers)
    return Segments(tuple(map(key, numbers)), lengths, 0, spans, 9, 0, 0, spans, "1")


def test_each_owner_takes_the_states_of_its_texts(tmp_path: Path) -> None:
    one = store_at(tmp_path / "one")
    # Text n has the windows n and 100 + n.
    one.put_segments({key(1000 + n): segments(n, 100 + n) for n in range(10)})
    one.put([(key(n), record(n)) for n in range(10)])
    assert export_states(one.file, tmp_path / "x" / "a", {}) is None
    first = last_rows(one.file)
    # Their texts are in the file before; those of the last two nowhere.
    one.put([(key(n), record(n)) for n in (*range(100, 110), 555, 556)])
    assert export_states(one.file, tmp_path / "x" / "b", first) is None
    for shard in (0, 1):
        own = store_at(tmp_path / f"shard-{shard}")
        for name in "ab":
            source = tmp_path / "x" / name
            problem = import_states(
                source, own.file, owned=lambda key, shard=shard: key[0] % 2 == shard
            )
            assert problem is None
        texts = [n for n in range(10) if key(1000 + n)[0] % 2 == shard]
        assert set(own.keys("cuts")) == {key(1000 + n) for n in texts}
        assert set(own.keys("states")) == {key(n + more) for n in texts for more in (0, 100)}
        own.close()
    # Files of an earlier version have no texts at all.
    assert import_states(tmp_path / "x" / "b", tmp_path / "old", owned=lambda _: False) is None
    assert count_states(tmp_path / "old") == 12
    one.close()


def test_states_of_another_model_are_not_mixed(tmp_path: Path) -> None:
    one = store_at(tmp_path / "one")
    one.put([(key(1), record(1))])
    export_states(one.file, tmp_path / "a", {})
    other = StateStore(tmp_path / "other", digest="e", codes=8, dimension=4)
    other.put([(key(2), record(2))])
    assert import_states(tmp_path / "a", other.file) is None
    assert list(other.get([key(1), key(2)]).records) == [key(2)]
    one.close()
    other.close()


def test_damage_is_said_and_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no database " * 500)
    store = store_at(tmp_path / "one")
    store.put([(key(1), record(1))])
    assert last_rows(tmp_path / "bad") == {"states": 0, "cuts": 0}
    assert export_states(tmp_path / "bad", tmp_path / "x", {}) is not None
    assert not (tmp_path / "x").exists()
    assert import_states(tmp_path / "bad", store.file) is not None
    assert store.count() == 1
    with sqlite3.connect(store.file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    store.close()
