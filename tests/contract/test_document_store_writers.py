"""What several readers and writers of a document store may rely on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from secondpass.retrieve.store_protocol import DocumentStore
from tests.contract.document_stores import CATS, DOCUMENT_STORES, near, passage, words


def test_readers_and_a_writer_at_once(store: DocumentStore) -> None:
    store.upsert([passage(f"base{i}", f"zebra number {i}") for i in range(20)])
    stop, faults = threading.Event(), []

    def read() -> None:
        last = 0
        try:
            while not stop.is_set():
                hits = store.bm25("zebra", 100)
                assert len(hits) >= 20
                assert len(hits) == len({h.id for h in hits})
                # A batch is seen whole or not at all.
                assert (len(hits) - 20) % 5 == 0
                assert len(near(store, "zebra", 100)) >= 20
                assert store.count_passages() >= last
                last = store.count_passages()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    try:
        for i in range(8):
            store.upsert([passage(f"new{i}.{j}", "zebra fresh") for j in range(5)])
        store.optimize()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert faults == []
    assert store.count_passages() == 60


WRITER = """
import sys
from pathlib import Path
from tests.contract.document_stores import DOCUMENT_STORES, chunks
store = DOCUMENT_STORES[sys.argv[1]](Path(sys.argv[2]))
for i in range(10_000):
    store.upsert([p for j in range(5) for p in chunks(f"d{i}.{j}", "zebra one", "zebra two")])
    print(i, flush=True)
"""


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    for name, opener in DOCUMENT_STORES.items():
        folder = tmp_path / name
        command = [sys.executable, "-c", WRITER, name, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            done = -1
            for line in process.stdout:
                done = int(line)
                if done >= 6:
                    process.send_signal(signal.SIGKILL)
                    break
            done = max([done, *(int(line) for line in process.stdout)])
        store = opener(folder)
        assert store.count_documents() in {5 * (done + 1), 5 * (done + 2)}
        assert (
            store.count_passages()
            == 2 * store.count_documents()
            == len(store.bm25("zebra", 10_000))
        )
        store.upsert(CATS)
        store.optimize()
        assert words(store, "mat") == ["a"]


SHARING = """
import sys
from pathlib import Path
from tests.contract.document_stores import DOCUMENT_STORES, passage
store = DOCUMENT_STORES[sys.argv[1]](Path(sys.argv[2]))
me = sys.argv[3]
for i in range(12):
    fields = {f"{me}{i}": i} if i % 4 == 0 else {"n": i if i % 2 else i + 0.5}
    store.upsert([passage(f"{me}.{i}.{j}", "zebra", **fields) for j in range(3)])
    if i % 5 == 0:
        store.optimize()
    assert store.delete([f"{me}.{i}.0"]) == 1
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    for name, opener in DOCUMENT_STORES.items():
        folder = tmp_path / name
        command = [sys.executable, "-c", SHARING, name, str(folder)]
        writers = [subprocess.Popen([*command, me]) for me in ("a", "b")]
        assert [writer.wait() for writer in writers] == [0, 0]
        store = opener(folder)
        assert store.count_passages() == len(store.bm25("zebra", 100)) == 2 * 12 * 2
        assert len(store.fields) == 2 * 3 + 1
