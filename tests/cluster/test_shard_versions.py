"""Shards of an index in object storage: versions that they move to, states that they own."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index, Reranker
from secondpass.cluster.owners import owner_of
from secondpass.cluster.shard_versions import Pin, StoredVersions
from secondpass.errors import IndexNotFoundError, IndexStoreError
from secondpass.index.precompute import PrecomputedStates
from secondpass.index.storage.local_copy import default_folder
from secondpass.index.storage.objects import open_objects
from secondpass.index.storage.versions import PublishedVersions
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.store import StateStore
from secondpass.retrieve.embedder import Embedder
from secondpass.types import Status
from tests.cluster.local_shards import WITH_STATES, documents, make_index, sharded, wait_until

QUERY = "a ship near the harbor"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"file://{tmp_path}/store"
    make_index(url, 40, reranker=Reranker(WITH_STATES), local_folder=tmp_path / "writer")
    return url


def newest_of(place: str) -> Pin:
    pointer = PublishedVersions(open_objects(place)).current()
    assert pointer is not None
    return Pin(pointer.number, pointer.version)


def test_each_shard_has_the_states_of_its_own_passages(
    place: str, base: PrecomputedReranker
) -> None:
    embedder = Embedder()
    counts = []
    for shard in range(3):
        versions = StoredVersions(place, embedder, shard=shard, shards=3)
        store = PrecomputedStates(versions.states_folder, embedder).open_store(base)
        texts = [("", str(d["text"])) for d in documents(40)]
        keys = [base.segments_key(text) for text in texts]
        stored = store.get_segments([key for key in keys if key is not None])
        assert set(stored) == {key for key in keys if key and owner_of(key, 3) == shard}
        windows = {window for segments in stored.values() for window in segments.keys}
        assert store.missing(windows) == []
        counts.append(store.count())
        # The files that were split are not kept beside what they were split into.
        files = list((versions.at(None).store.folder).glob("states/**/*.sqlite"))
        assert files == []
        store.close()
        versions.close()
    assert sum(counts) == 40
    assert all(counts)


def test_searches_move_to_a_new_version_and_encode_no_passage(
    place: str, tmp_path: Path
) -> None:
    failures: list[Exception] = []
    with sharded(place, 2, model=WITH_STATES) as (search, _):
        first = search.index.about.pin
        assert first is not None
        before = search.search(QUERY, candidates=40, top_k=40)
        assert before.status is Status.RERANKED
        assert before.usage.tokens < 40
        done = threading.Event()

        def go_on() -> None:
            while not done.is_set():
                try:
                    found = search.search(QUERY, candidates=40)
                    assert found.status is Status.RERANKED
                except Exception as error:  # noqa: BLE001 - reported below
                    failures.append(error)

        searching = threading.Thread(target=go_on)
        searching.start()
        with Index.open(
            place, reranker=Reranker(WITH_STATES), local_folder=tmp_path / "writer"
        ) as index:
            index.add([{"id": "new", "text": "A ship came into the harbor."}])
            index.delete(["d4"])
        wait_until(lambda: search.index.about.pin == newest_of(place))
        assert newest_of(place).number == first.number + 2
        done.set()
        searching.join()
        assert failures == []
        after = search.search(QUERY, candidates=40, top_k=40)
        assert after.results[0].id == "new"
        assert "d4" not in [r.id for r in after.results]
        assert after.usage.tokens < 40
        # The version before is still there for requests that began in it.
        old = search.index.calls.ask_any("about", "docs", first)
        assert (old.pin, old.documents) == (first, 40)


@pytest.fixture(scope="module")
def base() -> PrecomputedReranker:
    found = PrecomputedStates(Path(), Embedder()).find_precomputed(Reranker(WITH_STATES))
    assert found is not None
    return found


Stored = list[tuple[set[bytes], set[bytes]]]
"""The keys of texts and of states, by shard."""


def store_of(place: str, base: PrecomputedReranker, shard: str) -> StateStore:
    folder = default_folder(place) / "shards" / shard
    return PrecomputedStates(folder, Embedder()).open_store(base)


def stored_by(stores: Iterable[StateStore]) -> Stored:
    return [(set(store.keys("cuts")), set(store.keys("states"))) for store in stores]


def wanted_by(texts: Iterable[str], base: PrecomputedReranker, shards: int) -> Stored:
    """Return what each shard should have stored, of these texts."""
    wanted: Stored = [(set(), set()) for _ in range(shards)]
    for text in texts:
        key = base.segments_key(("", text))
        assert key is not None
        keys, states = wanted[owner_of(key, shards)]
        keys.add(key)
        states.update(base.segment([("", text)])[0].keys)
    return wanted


def test_a_shard_keeps_states_of_its_own_passages_alone(
    place: str, tmp_path: Path, base: PrecomputedReranker
) -> None:
    stores = [store_of(place, base, f"{shard}-of-3") for shard in range(3)]
    texts = {str(d["id"]): str(d["text"]) for d in documents(40)}
    with Index.open(
        place, reranker=Reranker(WITH_STATES), local_folder=tmp_path / "writer"
    ) as index:
        # Deleted without `optimize`: the files of the version still have its states.
        index.delete(["d3"])
        del texts["d3"]
        with sharded(place, 3, model=WITH_STATES) as (search, _):
            wait_until(lambda: stored_by(stores) == wanted_by(texts.values(), base, 3))
            # A state that belongs to nobody's text, and those of another shard.
            others = {key for _, states in stored_by(stores)[1:] for key in states}
            (record,) = stores[0].get(stores[0].keys("states")[:1]).records.values()
            stores[0].put((key, record) for key in [*others, b"nobody's text..."])
            index.add([{"id": "d5", "text": "a changed text of the river"}])
            index.delete(["d7", "d8"])
            texts["d5"] = "a changed text of the river"
            del texts["d7"], texts["d8"]
            assert index.optimize().states_removed == 4
            wait_until(lambda: stored_by(stores) == wanted_by(texts.values(), base, 3))
            wait_until(lambda: search.index.about.pin == newest_of(place))
            found = search.search(QUERY, candidates=40, top_k=40)
            assert found.status is Status.RERANKED
            # The query and nothing else is encoded.
            assert found.usage.tokens < 40
    for store in stores:
        store.close()


def test_states_of_another_number_of_shards_are_deleted_once_nobody_uses_them(
    place: str,
) -> None:
    folder = default_folder(place) / "shards"

    def names() -> list[str]:
        return sorted(path.name for path in folder.iterdir())

    embedder = Embedder()
    two = [StoredVersions(place, embedder, shard=n, shards=2) for n in range(2)]
    again = StoredVersions(place, embedder, shard=1, shards=2)
    two[0].close()
    two[1].close()
    # A copy of shard 1 still runs, and a file that a killed process left is no process.
    (folder / "0-of-2" / "killed.in-use").touch()
    four = StoredVersions(place, embedder, shard=3, shards=4)
    assert names() == ["1-of-2", "3-of-4"]
    again.close()
    one = StoredVersions(place, embedder, shard=0, shards=1)
    assert names() == ["0-of-1", "3-of-4"]
    four.close()
    one.close()
    assert not list(folder.rglob("*.in-use"))


def test_a_version_that_is_gone_is_an_error(place: str) -> None:
    versions = StoredVersions(place, Embedder(), shard=0, shards=1)
    try:
        newest = versions.newest
        assert newest is not None
        assert versions.at(newest).pin == newest
        with pytest.raises(IndexStoreError, match="version 99"):
            versions.at(Pin(99, "versions/0000000099-none.json"))
    finally:
        versions.close()


def test_a_prefix_without_an_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError):
        StoredVersions(f"file://{tmp_path}/none", Embedder(), shard=0, shards=1)
