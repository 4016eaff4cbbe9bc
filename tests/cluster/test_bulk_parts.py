"""Parts of bulk work that need no Ray."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from secondpass.cluster.actor_pool import actor_share, check_actors
from secondpass.cluster.bulk_index import group_files
from secondpass.cluster.bulk_worker import PassageWork, PassageWorker
from secondpass.cluster.ray_runtime import _own_folder, cluster_address, ray_runtime
from secondpass.errors import InputError, MissingExtraError
from secondpass.retrieve.ingest_report import IngestProgress
from secondpass.retrieve.loaders import SourceFile
from secondpass.retrieve.loaders.sandbox import ReadLimits
from secondpass.retrieve.passage_maker import LocalMaker
from secondpass.types import Document
from tests.cluster.bulk import (
    content,
    counts,
    index_here,
    open_index,
    stored,
    write_corpus,
)


@pytest.fixture(scope="module")
def worker() -> PassageWorker:
    return PassageWorker(PassageWork(32, 4, vectors=True, keep_states=True))


def test_a_worker_returns_the_passages_and_the_states_of_documents(
    worker: PassageWorker,
) -> None:
    long = " ".join(f"word{i}" for i in range(60))
    made = worker.make([("short", Document("The river.")), ("long", Document(long))])
    assert len(made.passages["short"]) == 1
    assert len(made.passages["long"]) > 1
    passages = [p for parts in made.passages.values() for p in parts]
    assert all(p.embedding is not None and p.embedding.shape == (384,) for p in passages)
    assert len(made.records) == len(made.segments) == len(passages)
    # The next batch has its own states only.
    assert len(worker.make([("other", Document("The sea."))]).records) == 1


def test_a_worker_reads_what_it_can_and_says_what_it_cannot(
    worker: PassageWorker, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("The river meets the sea.")
    (tmp_path / "bad.txt").write_bytes("Gr\xf6\xdfe".encode("latin-1") * 20)
    files = [SourceFile(tmp_path / f"{name}.txt", tmp_path) for name in ("good", "bad", "gone")]
    good, bad, gone = worker.read(files, None, ReadLimits.from_environment())
    assert [d.text for batch in good.batches for d in batch.documents] == [
        "The river meets the sea."
    ]
    assert good.error is None
    assert bad.error is not None
    assert gone.absent
    assert gone.machine == socket.gethostname()


class _Ahead(LocalMaker):
    """Makes nothing ahead, but lets two batches wait, as actors do."""

    ahead = 2


def test_batches_that_wait_are_stored_as_those_that_do_not(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    here = index_here(corpus, tmp_path / "here")
    with open_index(tmp_path / "ahead") as index:
        encoder = index.ingest_embedder()
        report = index.ingest([corpus], encoder, _Ahead(), on_error=lambda error: None)
        assert content(index) == stored(tmp_path / "here")
    assert counts(report) == counts(here)


def test_what_the_index_lacks_at_the_end_is_named(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    with open_index(tmp_path / "index", keep_states=False) as index:

        def lose(now: IngestProgress) -> None:
            # As a second writer would.
            index.delete(["row-1"])

        encoder = index.ingest_embedder()
        report = index.ingest(
            [corpus], encoder, _Ahead(), on_error=lambda error: None, progress=lose
        )
    assert report.differences == ["document 'row-1': 1 passages were stored, the index has 0"]


def test_small_files_are_read_together_and_large_ones_alone(tmp_path: Path) -> None:
    files = []
    for number in range(20):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(b"x" * (9_000_000 if number == 3 else 10))
        files.append(SourceFile(path, tmp_path))
    groups = list(group_files(files))
    assert [len(group) for group in groups] == [3, 1, 16]
    assert [file for group in groups for file in group] == files


@pytest.mark.parametrize(
    ("free", "actors", "share"),
    [(2.0, 2, 1.0), (2.0, 1, 1.0), (1.0, 2, 0.5), (1.0, 3, 0.33), (0.0, 4, 0.01)],
)
def test_actors_share_the_cpus_that_are_free(free: float, actors: int, share: float) -> None:
    assert actor_share(free, actors) == share


def test_a_number_of_actors_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="at least one actor"):
        check_actors(0)


@pytest.mark.parametrize("address", ["ray://head:10001", "head:port", ":6379", "head:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="not the address of a Ray cluster"):
        cluster_address(address)


def test_without_the_extra_an_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with (
        pytest.raises(MissingExtraError, match=r"pip install 'secondpass\[ray\]'"),
        ray_runtime(),
    ):
        pass
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_folders_of_processes_that_were_killed_are_deleted() -> None:
    with _own_folder() as killed:
        (killed / "log").write_text("…")
        with _own_folder() as mine:
            # The other one lives.
            assert killed.is_dir()
            assert mine != killed
        kept = killed.with_name(killed.name + "-left")
        shutil.copytree(killed, kept)
        with _own_folder():
            assert not kept.exists()
            assert killed.is_dir()
    assert not killed.exists()


def test_an_address_where_nothing_listens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(InputError, match="no Ray at this address"):
            cluster_address(place)
        monkeypatch.setenv("RAY_ADDRESS", place)
        with pytest.raises(InputError, match="no Ray at this address"):
            cluster_address(None)
    assert cluster_address("local") is None
