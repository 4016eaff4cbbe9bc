"""An index in object storage: one writer at a time, and readers that stay on whole versions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index
from secondpass.errors import FilterError, IndexNotFoundError, IndexStoreError, InputError
from secondpass.index.storage.lease import Lease
from secondpass.index.storage.objects import open_objects
from secondpass.index.storage.open import open_remote
from secondpass.index.storage.store import RemoteStore
from secondpass.retrieve.ingest import ingest
from tests.loopback.moto_server import ObjectServer, object_server
from tests.retrieve.hashed_embedder import HashedEmbedder
from tests.server.load import until

TEXTS = [
    {"id": "a", "text": "the river meets the sea", "year": 2001},
    {"id": "b", "text": "bread and water", "year": 2002},
    {"id": "c", "text": "a slow ship on the river", "year": 2003},
]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as found:
        yield found


class Place:
    """A prefix, and machines with their own local copies of it."""

    def __init__(self, url: str, folder: Path, options: dict[str, str] | None) -> None:
        self.url, self.folder, self.options = url, folder, options

    def open(self, machine: str = "one", **more: Any) -> Index:
        more = {"embedder": HashedEmbedder(), "keep_states": False} | more
        return Index.open(
            self.url,
            storage_options=self.options,
            local_folder=self.folder / machine,
            **more,
        )

    def open_remote(self, machine: str, **more: Any) -> RemoteStore:
        """Open the store alone, with times of the test."""
        return open_remote(
            self.url,
            HashedEmbedder(),
            language=None,
            chunk_tokens=None,
            overlap=0,
            create=False,
            keep_states=None,
            local_folder=self.folder / machine,
            **more,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(f"{tmp_path.as_uri()}/shared", tmp_path, None)


@pytest.fixture(params=["folder", "s3"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(f"{tmp_path.as_uri()}/shared", tmp_path, None)
    server = request.getfixturevalue("server")
    return Place(f"s3://bucket/{tmp_path.name}", tmp_path, server.options)


def store(index: Index) -> RemoteStore:
    assert isinstance(index.store, RemoteStore)
    return index.store


def found(index: Index, query: str = "river", **more: Any) -> list[tuple[str, float]]:
    response = index.search(query, rerank=False, **more)
    return [(r.document.id or "", r.score) for r in response.results]


def test_an_index_that_lost_its_lease_object_is_written_again(place: Place) -> None:
    for text in TEXTS[:2]:
        # Another process each time, so that epochs go up.
        with place.open() as index:
            index.add([text])
    objects = open_objects(place.url, place.options)
    objects.delete(["lease.json"])
    with place.open("two") as index:
        index.add(TEXTS[2:])
        assert index.count() == 3
    with place.open("three") as index:
        assert index.count() == 3


def test_a_version_is_reported_once_it_is_searched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as writer, place.open("two") as reader:
        writer.add(TEXTS[:1])
        store(reader).refresh()
        seen = [(store(reader).version, len(found(reader)))]
        move = RemoteStore.move

        def moving(self: RemoteStore, *view: Any) -> None:
            seen.append((self.version, len(found(reader))))
            move(self, *view)

        writer.add(TEXTS[1:])
        newest = store(writer).version
        monkeypatch.setattr(RemoteStore, "move", moving)
        assert store(reader).refresh()
        assert seen[1] == seen[0]
        assert seen[0][0] < newest == store(reader).version
        assert len(found(reader)) == len(TEXTS)
        assert len(found(reader)) == len(TEXTS)


def test_it_is_searched_as_a_folder_is(any_place: Place, tmp_path: Path) -> None:
    local = Index.open(tmp_path / "local", embedder=HashedEmbedder(), keep_states=False)
    remote = any_place.open()
    assert remote.name == any_place.url
    for index in (local, remote):
        assert index.add(TEXTS) == 3
        assert index.add([{"id": "d", "text": "more rivers", "year": 1999}]) == 1
        assert index.delete(["b", "nothing"]) == 1
    reader = any_place.open("two", create=False)
    for options in ({}, {"mode": "bm25"}, {"mode": "vector"}, {"filter": "year > 2000"}):
        assert found(reader, **options) == found(remote, **options) == found(local, **options)
    assert (reader.count(), reader.count_passages()) == (3, 3)
    with pytest.raises(FilterError):
        found(reader, filter="month > 2")
    newest = max(version.number for version in reader.versions())
    assert found(reader, version=newest) == found(reader)
    for index in (local, remote, reader):
        index.close()


def test_a_reader_stays_on_its_version_and_moves_to_whole_ones(any_place: Place) -> None:
    writer = any_place.open()
    writer.add(TEXTS)
    reader = any_place.open("two", create=False)
    before = found(reader)
    writer.add([{"id": "e", "text": "river river river"}])
    assert found(reader) == before
    assert store(reader).refresh()
    assert not store(reader).refresh()
    assert found(reader) == found(writer) != before
    writer.delete(["e", "a"])
    assert reader.count() == 4
    store(reader).refresh()
    assert reader.count() == 2
    writer.close()
    reader.close()


def test_readers_follow_by_themselves(place: Place) -> None:
    writer = place.open()
    writer.add(TEXTS)
    followed = place.open_remote("two", follow=0.05)
    writer.add([{"id": "d", "text": "more"}])
    until(lambda: followed.count_documents() == 4)
    followed.close()
    writer.close()


def test_a_reader_tells_how_far_it_is_behind(place: Place) -> None:
    writer = place.open()
    writer.add(TEXTS)
    reader = place.open_remote("two", follow=1000.0)
    now = 0.0
    reader.remote._clock = lambda: now
    read = reader.version
    assert reader.remote.lag() == (read, 0.0)
    lists = place.folder / "shared" / "versions"
    writer.add([{"id": "d", "text": "the storage lost the lists of versions"}])
    newest = store(writer).version
    assert newest > read
    lists.rename(place.folder / "hidden")
    with pytest.raises(IndexStoreError, match="cannot be fetched"):
        reader.refresh()
    now = 40.0
    assert reader.remote.lag() == (newest, 40.0)
    (place.folder / "hidden").rename(lists)
    assert reader.refresh()
    assert reader.remote.lag() == (newest, 0.0)
    assert not reader.remote.lease.held
    assert reader.remote.lease.lost == 0
    reader.close()
    writer.close()


def test_two_writers_take_turns(any_place: Place) -> None:
    one, other = any_place.open(), any_place.open("two")
    one.add(TEXTS[:1])
    store(one).remote.lease.release()
    other.add(TEXTS[1:2])
    store(other).remote.lease.release()
    one.add(TEXTS[2:])
    assert one.count() == 3
    one.close()
    other.add([{"id": "d", "text": "d"}])
    assert other.count() == 4
    other.close()


def test_optimizing_loses_no_row_and_indexes_all(any_place: Place) -> None:
    writer = any_place.open()
    for start in range(0, 60, 10):
        numbers = range(start, start + 10)
        writer.add([{"id": f"n{n}", "text": f"word{n} river"} for n in numbers])
    writer.delete([f"n{n}" for n in range(5)])
    before = {name for name, _ in found(writer, top_k=100, candidates=100)}
    writer.optimize()
    reader = any_place.open("two", create=False)
    # Scores differ from before: the statistics of words count all rows now.
    assert found(reader, top_k=100, candidates=100) == found(writer, top_k=100, candidates=100)
    assert {name for name, _ in found(reader, top_k=100, candidates=100)} == before
    assert reader.count() == 55
    for n in (5, 33, 59):
        assert found(reader, f"word{n}", mode="bm25")[0][0] == f"n{n}"
    writer.close()
    reader.close()


def test_ingestion_goes_on_where_it_was_interrupted(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for n in range(5):
        (folder / f"{n}.txt").write_text(f"text number {n}")
    writer = place.open()
    first = ingest([folder], writer.store, HashedEmbedder())
    assert first.stored == 5
    writer.close()
    (folder / "5.txt").write_text("one more")
    again = place.open("two")
    second = ingest([folder], again.store, HashedEmbedder())
    assert (second.stored, again.count()) == (1, 6)
    again.close()


def test_another_process_took_over_and_the_write_is_taken_back(place: Place) -> None:
    one = place.open()
    one.add(TEXTS)
    other = place.open("two")

    def overtaken() -> None:
        with store(one)._writing("x") as table:
            table.delete("true")
            store(one).remote.lease.release()
            other.add([{"id": "z", "text": "in between"}])

    with pytest.raises(IndexStoreError, match="nothing was stored"):
        overtaken()
    assert one.count() == other.count() == 4
    other.close()
    assert one.add([{"id": "y", "text": "after"}]) == 1
    assert one.count() == 5
    one.close()


def test_an_error_in_a_write_leaves_the_version_as_it_is(place: Place) -> None:
    writer = place.open()
    writer.add(TEXTS)
    pointer = store(writer).remote.pointer
    assert pointer is not None

    def interrupted() -> None:
        with store(writer)._writing("x") as table:
            table.delete("true")
            raise RuntimeError("in the middle")

    with pytest.raises(InputError):
        writer.add([{"id": "d", "text": "x", "year": "no number"}])
    with pytest.raises(IndexStoreError, match="in the middle"):
        interrupted()
    assert writer.count() == 3
    now = store(writer).remote.pointer
    assert now is not None
    assert now.version == pointer.version
    writer.close()


# --- processes that are stopped and killed

CHILD = """
import sys
from pathlib import Path
from secondpass.index.storage.lease import Lease
from secondpass.index.storage.objects import open_objects
from secondpass.index.storage.open import open_remote
from tests.retrieve.hashed_embedder import HashedEmbedder

url, folder = sys.argv[1:3]
store = open_remote(
    url, HashedEmbedder(), language=None, chunk_tokens=None, overlap=0, create=False,
    keep_states=None, local_folder=Path(folder), lease=Lease(open_objects(url), seconds=1),
)
"""
FROZEN = f"""{CHILD}
with store._writing("it was not stored") as table:
    table.delete("true")
    print("inside", flush=True)
    sys.stdin.readline()
print("committed", flush=True)
"""
KILLED = f"""{CHILD}
from secondpass.index.index import Index
index = Index(store, HashedEmbedder())
number = 0
while True:
    index.add([dict(id=f"k{{number}}", text=f"number {{number}}")])
    print(number, flush=True)
    number += 1
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_frozen_writer_cannot_commit_after_it_lost_its_lease(place: Place) -> None:
    with place.open() as index:
        index.add(TEXTS)
    with child(FROZEN, place.url, place.folder / "frozen") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGSTOP)
        writer = place.open("two")
        writer.add([{"id": "d", "text": "of the next writer"}])
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate("go on\n", timeout=120)
    assert (process.returncode, out) == (1, "")
    assert "nothing was stored" in err
    store(writer).refresh()
    assert writer.count() == 4
    writer.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_frozen_writer_cannot_commit_before_the_next_one_has(place: Place) -> None:
    with place.open() as index:
        index.add(TEXTS)
    writer = place.open("two")
    with child(FROZEN, place.url, place.folder / "frozen") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGSTOP)
        with store(writer)._writing("the next one") as table:
            # Nothing new is current yet: only the next writer's epoch is.
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate("go on\n", timeout=120)
            table.delete("_sp_doc = 'a'")
    assert (process.returncode, out) == (1, "")
    assert "nothing was stored" in err
    assert writer.count() == 2
    writer.close()


@pytest.mark.parametrize("count", [1, 6])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(place: Place, count: int) -> None:
    place.open().close()
    with child(KILLED, place.url, place.folder / "killed") as process:
        assert process.stdout is not None
        for _ in range(count):
            told = int(process.stdout.readline())
        process.kill()
        told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
    with place.open("two") as index:
        assert index.count() >= told + 1
        assert index.stored_ids([f"k{n}" for n in range(told + 1)]) == {
            f"k{n}" for n in range(told + 1)
        }
        index.add(TEXTS)
        assert found(index, "ship", mode="bm25")[0][0] == "c"
    # What the dead process had linked to is cleared by the next one of its machine.
    index = place.open("killed")
    store(index).remote.copy.trim()
    assert len(list((place.folder / "killed" / "views").iterdir())) == 1
    index.close()


def test_a_search_needs_no_storage_once_it_is_warm(tmp_path: Path) -> None:
    with object_server() as server:
        place = Place("s3://bucket/warm", tmp_path, {**server.options, "timeout": "1s"})
        with place.open() as index:
            index.add(TEXTS)
        reader = place.open("two", create=False)
        before = found(reader)
        server.freeze()
        assert found(reader) == before
        server.resume()
        server.stop()
        assert found(reader, mode="bm25") != []
        with pytest.raises(IndexStoreError, match="it cannot be reached"):
            store(reader).refresh()
        assert found(reader) == before
        reader.close()


# --- local copies


def test_a_copy_is_bounded(place: Place) -> None:
    writer = place.open()
    writer.add(TEXTS)
    with pytest.raises(IndexStoreError, match="larger than its local copy may be") as raised:
        place.open("two", create=False, local_bytes=1000)
    assert raised.value.fix is not None
    assert "local_bytes" in raised.value.fix
    limit = 100_000
    reader = place.open("three", create=False, local_bytes=limit)
    for n in range(4):
        writer.add([{"id": f"{n}", "text": f"text {n}"}])
        store(reader).refresh()
    # As after 7 days: versions that cannot be checked out need no files.
    writer.store.optimize(keep=timedelta(milliseconds=10))
    store(reader).refresh()
    remote = store(reader).remote
    remote._clock = lambda: 1e12
    remote.drop_old()
    contents = [f.stat() for f in (place.folder / "three" / "objects").glob("*/*")]
    unused = sum(s.st_size for s in contents if s.st_nlink == 1)
    used = sum(s.st_size for s in contents if s.st_nlink > 1)
    assert unused == 0 or unused + used <= limit
    assert found(reader) == found(writer)
    writer.close()
    reader.close()


def test_processes_of_a_machine_share_contents(place: Place) -> None:
    one = place.open()
    one.add(TEXTS)
    other = place.open(create=False)
    assert found(one) == found(other)
    one.close()
    assert found(other)[0][0] in ("a", "c")
    other.close()
    assert list((place.folder / "one" / "views").iterdir()) == []


def test_a_damaged_object_is_said(place: Place) -> None:
    with place.open() as index:
        index.add(TEXTS)
        name = next(f.name for p, f in store(index).remote.files.items() if p == "index.json")
    objects = open_objects(place.url)
    (place.folder / "shared" / name).write_bytes(b"other")
    with pytest.raises(IndexStoreError, match="is damaged") as raised:
        place.open("two")
    assert raised.value.where == f"{objects.url}/{name}"
    objects.delete([name])
    with pytest.raises(IndexStoreError, match="cannot be fetched"):
        place.open("two")


# --- what is wrong is said


def test_an_index_that_is_not_there(any_place: Place) -> None:
    with pytest.raises(IndexNotFoundError) as raised:
        any_place.open(create=False)
    assert raised.value.where == any_place.url
    assert list(open_objects(any_place.url, any_place.options).list()) == []


def test_other_settings_than_it_was_made_with(place: Place) -> None:
    place.open(language="german").close()
    with pytest.raises(IndexStoreError, match="not in english") as raised:
        place.open(language="english")
    assert raised.value.where == place.url
    with pytest.raises(IndexStoreError, match="another embedder") as raised:
        place.open(embedder=HashedEmbedder(dimension=8))
    assert raised.value.where == place.url
    index = place.open(keep_states=True)
    assert store(index).settings.keep_states
    index.close()
    with place.open("two", keep_states=None) as again:
        assert store(again).settings.keep_states


def test_a_prefix_of_something_else(place: Place) -> None:
    folder = place.folder / "shared"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(b"x")
    for create in (True, False):
        with pytest.raises(IndexStoreError, match="holds something else"):
            place.open(create=create)
    assert sorted(p.name for p in folder.iterdir()) == ["photo.jpg"]


def test_an_index_of_a_newer_version(place: Place) -> None:
    place.open().close()
    current = place.folder / "shared" / "CURRENT"
    current.write_text(json.dumps({**json.loads(current.read_text()), "format": 2}))
    with pytest.raises(IndexStoreError, match="newer version"):
        place.open()


def test_a_writer_that_waits_in_vain(place: Place) -> None:
    holder = place.open()
    holder.add(TEXTS)
    remote = place.open_remote("two", lease=Lease(open_objects(place.url), wait=0.0))
    with pytest.raises(IndexStoreError, match="another process writes"):
        remote.delete(["a"])
    assert remote.count_documents() == 3
    remote.close()
    holder.close()


def test_options_of_a_url_are_refused_for_a_folder(tmp_path: Path) -> None:
    for options in ({"storage_options": {}}, {"local_folder": tmp_path}, {"local_bytes": 5}):
        with pytest.raises(InputError, match="is for an index in object storage"):
            Index.open(tmp_path / "x", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="an index cannot be at ftp://"):
        Index.open("ftp://host/x")
