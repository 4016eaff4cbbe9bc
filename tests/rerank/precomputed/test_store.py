"""Records on disk: whatever happens to the file, no wrong record and no failed search."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secondpass.rerank.precomputed.store
from secondpass import Reranker, Status
from secondpass.inference.model_folder import open_folder
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.removal import KeySet, Removed
from secondpass.rerank.precomputed.state_files import last_rows
from secondpass.rerank.precomputed.store import StateStore, StoreLookup
from secondpass.rerank.precomputed.types import Record
from tests.tiny_models import tiny_reader

QUERY = "where is the ship"
TEXTS = [
    f"the {a} {b} and {c}" for a in ("blue", "slow") for b in ("sea", "sky") for c in "xyz"
]
CODES, DIMENSION = 8, 4


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def record(number: int, tokens: int = 5) -> Record:
    numbers = np.random.default_rng(number)
    return Record(
        numbers.integers(-127, 128, (tokens, CODES)).astype(np.int8),
        numbers.random(tokens).astype(np.float16),
        numbers.random(DIMENSION).astype(np.float32),
    )


def store_at(file: Path, digest: str = "mine") -> StateStore:
    return StateStore(file, digest=digest, codes=CODES, dimension=DIMENSION)


def assert_right(found: dict[bytes, Record] | object, numbers: list[int], tokens: int) -> None:
    assert isinstance(found, dict)
    assert sorted(found) == sorted(key(n) for n in numbers)
    for number in numbers:
        assert found[key(number)].to_bytes() == record(number, tokens).to_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a folder with % and ?" / "states.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[StateStore]:
    file.parent.mkdir()
    store = store_at(file)
    yield store
    store.close()


def test_what_was_kept_is_found_and_nothing_is_made_before(store: StateStore) -> None:
    assert store.get([key(1)]).records == {}
    assert store.count() == 0
    assert not store.file.exists()
    assert store.put((key(n), record(n)) for n in range(1200)) is None
    assert store.count() == 1200
    assert_right(
        store.get([key(n) for n in range(1100, 1300)]).records, [*range(1100, 1200)], 5
    )
    assert_right(store.get([key(n) for n in range(1200)]).records, [*range(1200)], 5)
    assert store.get([]).records == {}
    store.close()
    assert_right(store_at(store.file).get([key(7)]).records, [7], 5)


def test_what_is_missing_is_named_once_and_in_order(store: StateStore) -> None:
    wanted = [key(n) for n in (1201, 3, 1200, 3, 1201, 7)]
    assert store.missing(wanted) == [key(1201), key(3), key(1200), key(7)]
    store.put((key(n), record(n)) for n in range(1200))
    assert store.missing(wanted) == [key(1201), key(1200)]
    assert store.missing(key(n) for n in range(1200)) == []
    store.close()
    store.file.write_bytes(b"no database" * 1000)
    assert store.missing([key(3), key(3)]) == [key(3)]


def test_only_some_are_kept(store: StateStore) -> None:
    assert store.keep_only(KeySet(), KeySet()) == Removed()
    store.put((key(n), record(n, 200)) for n in range(100))
    before = store.file.stat().st_size
    removed = store.keep_only(KeySet(key(n) for n in (3, 5, 3, 999)), KeySet())
    assert (removed.states, removed.files, removed.problem) == (98, 0, None)
    assert removed.bytes == 98 * (len(record(3, 200).to_bytes()) + 4)
    assert removed.freed == before - store.file.stat().st_size
    assert_right(store.get([key(n) for n in range(100)]).records, [3, 5], 200)
    assert store.file.stat().st_size < before / 5


def test_a_large_file_gets_smaller_while_another_process_reads(store: StateStore) -> None:
    store.put((key(n), record(n, 200)) for n in range(12_000))
    connection = sqlite3.connect(store.file)
    before = store.file.stat().st_size
    seen: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        # Between two steps nothing is locked: another process reads, and writes.
        seen.append((done, total))
        with connection:
            connection.execute("UPDATE about SET format = format")

    kept = range(0, 12_000, 10)
    removed = store.keep_only(KeySet(map(key, kept)), KeySet(), progress=look)
    connection.close()
    assert removed.states == 10_800
    assert store.file.stat().st_size < before / 8
    assert seen[0] == (5000, 12_000)
    assert seen[-1] == (12_000, 12_000)
    assert_right(store.get([key(n) for n in range(100)]).records, [*range(0, 100, 10)], 200)


def test_what_is_stored_meanwhile_stays(store: StateStore) -> None:
    store.put((key(n), record(n)) for n in range(100))
    until = last_rows(store.file)
    other = store_at(store.file)
    # One that is new, and one that another search has stored again.
    other.put((key(n), record(n)) for n in (7, 100))
    assert store.keep_only(KeySet(), KeySet(), until=until).states == 99
    assert_right(store.get([key(n) for n in range(101)]).records, [7, 100], 5)
    other.close()


def test_a_file_of_an_earlier_version_gets_smaller_too(store: StateStore) -> None:
    connection = sqlite3.connect(store.file)
    with connection:
        connection.execute("CREATE TABLE unused (a)")
    connection.close()
    store.put((key(n), record(n, 200)) for n in range(200))
    before = store.file.stat().st_size
    assert store.keep_only(KeySet([key(3)]), KeySet()).freed > before / 2
    assert_right(store.get([key(n) for n in range(200)]).records, [3], 200)


def test_a_file_that_another_process_is_making_counts_as_empty(store: StateStore) -> None:
    with closing(sqlite3.connect(store.file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert store.get([key(1)]) == StoreLookup()
        assert (store.count(), store.nbytes) == (0, 0)
        connection.execute("ROLLBACK")
    assert store.put([(key(n), record(n, 200)) for n in range(50)]) is None
    assert store.keep_only(KeySet(), KeySet()).freed > 50 * 200 * CODES


def test_others_who_write_are_waited_for(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put((key(n), record(n)) for n in range(10))
    connection = sqlite3.connect(store.file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(secondpass.rerank.precomputed.store, "_TURNS", 0)
    refused = store.keep_only(KeySet(), KeySet())
    assert refused.states == 0
    assert "locked" in str(refused.problem)
    monkeypatch.undo()
    done: list[Removed] = []
    waiting = threading.Thread(target=lambda: done.append(store.keep_only(KeySet(), KeySet())))
    waiting.start()
    waiting.join(1.5)
    assert done == []
    connection.execute("COMMIT")
    waiting.join(60)
    assert (done[0].states, done[0].problem) == (10, None)
    connection.close()


def test_a_store_of_another_model_counts_as_empty_and_is_cleared(file: Path) -> None:
    file.parent.mkdir()
    first = store_at(file, "old")
    first.put([(key(1), record(1))])
    first.close()
    other = store_at(file, "new")
    found = other.get([key(1)])
    assert (found.records, found.problem) == ({}, None)
    assert store_at(file, "old").count() == 1
    other.put([(key(2), record(2))])
    assert_right(other.get([key(1), key(2)]).records, [2], 5)
    assert store_at(file, "old").count() == 0
    wider = StateStore(file, digest="new", codes=CODES + 1, dimension=DIMENSION)
    assert wider.get([key(2)]).records == {}


KILLED = """
import sys, time
from pathlib import Path
from tests.rerank.precomputed.test_store import key, record, store_at

store = store_at(Path(sys.argv[1]))

def endless():
    number = 1000
    while True:
        yield key(number), record(number, 200)
        number += 1
        if number == 5000:
            print("in the middle", flush=True)

store.put(endless())
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def test_a_kill_in_the_middle_of_a_write_costs_that_write_only(store: StateStore) -> None:
    store.put((key(n), record(n)) for n in range(50))
    store.close()
    with child(KILLED, store.file) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    # A part of it did reach the disk, and SQLite's journal knows.
    assert store.file.stat().st_size > 100_000
    found = store.get([key(n) for n in range(2000)])
    assert found.problem is None
    assert_right(found.records, [*range(50)], 5)
    assert store.put([(key(60), record(60))]) is None
    assert store.count() == 51


WRITER = """
import sys
from pathlib import Path
from tests.rerank.precomputed.test_store import key, record, store_at

store = store_at(Path(sys.argv[1]))
start = int(sys.argv[2])
for batch in range(start, start + 400, 8):
    problem = store.put((key(n), record(n, 60)) for n in range(batch, batch + 8))
    assert problem is None, problem
print(store.count())
"""


def test_two_processes_write_while_two_threads_read(store: StateStore) -> None:
    stop, wrong, seen = threading.Event(), [], [0]

    def read(seed: int) -> None:
        mine, numbers = store_at(store.file), random.Random(seed)
        while not stop.is_set():
            wanted = numbers.sample(range(800), 100)
            found = mine.get([key(n) for n in wanted])
            if found.problem is not None:
                wrong.append(found.problem)
            for number in wanted:
                there = found.records.get(key(number))
                if there is not None and there.to_bytes() != record(number, 60).to_bytes():
                    wrong.append(str(number))
            seen[0] = max(seen[0], len(found.records))
        mine.close()

    threads = [threading.Thread(target=read, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    with child(WRITER, store.file, 0) as one, child(WRITER, store.file, 400) as two:
        assert one.wait() == two.wait() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert_right(store.get([key(n) for n in range(800)]).records, [*range(800)], 60)


def test_threads_share_one_store(store: StateStore) -> None:
    def work(start: int) -> None:
        for n in range(start, start + 50):
            store.put([(key(n), record(n))])
            assert key(n) in store.get([key(n)]).records

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 200


@given(data=st.data())
def test_damaged_bytes_never_give_a_wrong_record(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("damaged") / "states.sqlite"
    store = store_at(file)
    store.put((key(n), record(n, 40)) for n in range(60))
    store.close()
    content = bytearray(file.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "zero"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place:]
    else:
        content[place : place + 3000] = bytes(min(3000, len(content) - place))
    file.write_bytes(content)
    found = store.get([key(n) for n in range(60)])
    for name, there in found.records.items():
        assert there.to_bytes() == record(int.from_bytes(name, "little"), 40).to_bytes()
    # Once a write or a read has met the damage, the next write makes the file whole.
    for _ in range(3):
        store.put((key(n), record(n, 40)) for n in range(60))
        again = store.get([key(n) for n in range(60)])
    assert again.problem is None
    assert_right(again.records, [*range(60)], 40)
    store.close()


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        # SQLite quotes it in a message, or gives it as a column's name, and it is not text.
        (b"CREATE TABLE states", b"CRE\xc1TE TABLE states"),
        (b"PRIMARY KEY, record", b"PRIMARY KEY, rec\xefrd"),
        (b"about (format", b"about (f\xefrmat"),
        # It is well formed, and no longer what the statements name.
        (b"states (key", b"states (kex"),
    ],
)
def test_a_damaged_schema_is_said_and_the_file_replaced(
    store: StateStore, name: bytes, damaged: bytes
) -> None:
    def damage() -> None:
        store.put([(key(1), record(1))])
        store.close()
        content = store.file.read_bytes()
        assert content.count(name) == 1
        store.file.write_bytes(content.replace(name, damaged))

    damage()
    found = store.get([key(1)])
    assert found.records == {}
    assert "could not be used" in str(found.problem)
    assert store.put([(key(2), record(2))]) is None
    assert_right(store.get([key(1), key(2)]).records, [2], 5)
    # None of the others fails either, whichever meets the damage first.
    damage()
    assert store.count() in (0, 2)
    assert store.get_segments([b"a"]) == {}
    store.put_segments({})
    store.keep_only(KeySet(), KeySet())
    for _ in range(2):
        store.put([(key(3), record(3))])
        again = store.get([key(3)])
    assert again.problem is None
    assert_right(again.records, [3], 5)


def test_a_file_that_is_something_else_is_said_and_replaced(store: StateStore) -> None:
    store.file.write_bytes(b"This is not a database. " * 1000)
    found = store.get([key(1)])
    assert found.records == {}
    assert "not a database" in str(found.problem)
    assert store.count() == 0
    # What was not read before is met by the write, and replaced by the next.
    other = store_at(store.file)
    assert "not a database" in str(other.put([(key(1), record(1))]))
    assert other.put([(key(1), record(1))]) is None
    other.close()
    store.file.write_bytes(b"This is not a database. " * 1000)
    assert store.put([(key(1), record(1))]) is None
    assert_right(store.get([key(1)]).records, [1], 5)


def test_a_place_that_cannot_be_written_to_is_only_read(tmp_path: Path) -> None:
    assert store_at(tmp_path / "absent" / "states.sqlite").put([(key(1), record(1))]) is None
    if os.geteuid() == 0:
        pytest.skip("nothing is unwritable for the superuser")
    file = tmp_path / "there" / "states.sqlite"
    file.parent.mkdir()
    store = store_at(file)
    store.put([(key(1), record(1))])
    store.close()
    file.chmod(0o444)
    file.parent.chmod(0o555)
    assert store.put([(key(2), record(2))]) is None
    assert_right(store.get([key(1), key(2)]).records, [1], 5)
    store.close()
    file.parent.chmod(0o755)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reader")
    tiny_reader(place)
    return place


def reader_with_store(folder: Path, file: Path) -> tuple[PrecomputedReranker, StateStore]:
    reader = PrecomputedReranker(open_folder(folder))
    store = StateStore(
        file,
        digest=reader.states_digest,
        codes=reader.codes,
        dimension=reader.encoder.dimension,
    )
    return reader.with_store(store), store


def test_a_reader_reads_what_another_kept(folder: Path, tmp_path: Path) -> None:
    first, store = reader_with_store(folder, tmp_path / "s.sqlite")
    expected = first.rerank(QUERY, TEXTS)
    assert store.count() == len(TEXTS)
    store.close()
    second, store = reader_with_store(folder, tmp_path / "s.sqlite")
    found = second.rerank(QUERY, TEXTS)
    assert found.results == expected.results
    assert found.usage.tokens == second.encoder.tokenizer.count(QUERY) + 2
    assert found.reason is None
    without = PrecomputedReranker(open_folder(folder)).rerank(QUERY, TEXTS)
    for one, other in zip(found.results, without.results, strict=True):
        assert (one.index, one.score) == (other.index, pytest.approx(other.score, abs=1e-3))
    store.close()


def test_segments_are_stored_beside_records_and_checked(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    reader, store = reader_with_store(folder, file)
    texts = [("", text) for text in TEXTS]
    expected = reader.rerank(QUERY, TEXTS).results
    names = [reader.segments_key(text) for text in texts]
    kept = store.get_segments([name for name in names if name is not None])
    assert [kept[name] for name in names if name is not None] == reader.segment(texts)
    store.close()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE cuts SET cut = x'00' || cut")
    connection.close()
    other, store = reader_with_store(folder, file)
    assert store.get_segments([name for name in names if name is not None]) == {}
    assert other.rerank(QUERY, TEXTS).results == expected
    assert len(store.get_segments([name for name in names if name is not None])) == len(TEXTS)
    kept = KeySet(name for name in names[:1] if name is not None)
    assert store.keep_only(KeySet(), kept).states == len(TEXTS)
    assert list(store.get_segments([n for n in names if n is not None])) == names[:1]
    store.close()


def test_a_file_from_before_segments_were_stored_serves_its_records(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.sqlite"
    reader, store = reader_with_store(folder, file)
    reader.rerank(QUERY, TEXTS)
    store.close()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("DROP TABLE cuts")
    connection.close()
    other, store = reader_with_store(folder, file)
    found = other.rerank(QUERY, TEXTS)
    assert found.usage.tokens == other.encoder.tokenizer.count(QUERY) + 2
    assert store.count() == len(TEXTS)
    store.close()


def test_a_damaged_file_does_not_break_a_search_and_is_said(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.sqlite"
    reader, store = reader_with_store(folder, file)
    expected = reader.rerank(QUERY, TEXTS).results
    store.close()
    file.write_bytes(b"broken" * 2000)
    for turn in range(3):
        reader, store = reader_with_store(folder, file)
        found = reader.rerank(QUERY, TEXTS)
        assert found.status is Status.RERANKED
        assert [r.index for r in found.results] == [r.index for r in expected]
        if turn == 0:
            assert "documents were read again" in str(found.reason)
        store.close()
    assert found.reason is None
    assert found.usage.tokens == reader.encoder.tokenizer.count(QUERY) + 2


def test_policies_hand_the_store_on(folder: Path, tmp_path: Path) -> None:
    from secondpass.policies import Blend

    reader, store = reader_with_store(folder, tmp_path / "s.sqlite")
    assert reader.store is store
    reranker = Reranker(folder)
    blend = use_store(Blend(reranker), store)
    assert isinstance(blend.base, PrecomputedReranker)
    assert blend.base.store is store
    assert isinstance(reranker.base, PrecomputedReranker)
    assert reranker.base.store is None
    blend.rerank(QUERY, TEXTS)
    assert store.count() == len(TEXTS)
    store.close()
