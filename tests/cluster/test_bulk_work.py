"""Bulk work with Ray: the result is that of one machine, whatever is killed."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass.cluster.actor_pool import ActorPool
from secondpass.cluster.bulk_index import RayMaker, index_files
from secondpass.cluster.bulk_rerank import ray_reranker
from secondpass.cluster.bulk_worker import PassageWork, PassageWorker
from secondpass.cluster.ray_runtime import RayRuntime, ray_runtime
from secondpass.errors import InputError
from secondpass.retrieve.ingest import ingest
from secondpass.retrieve.ingest_report import IngestProgress
from tests.cli.conftest import Run, run
from tests.cluster.bulk import (
    CHUNK_TOKENS,
    OVERLAP,
    Content,
    content,
    counts,
    index_here,
    needs_ray,
    open_index,
    stored,
    write_corpus,
)

__all__ = ["run"]

pytestmark = needs_ray


@pytest.fixture(scope="module")
def runtime() -> Iterator[RayRuntime]:
    # As in a program that uses Ray for something else too.
    importlib.import_module("ray")
    with ray_runtime("local", cpus=2) as started:
        yield started


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("bulk") / "corpus")


@pytest.fixture(scope="module")
def reference(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Content, dict[str, object]]:
    place = tmp_path_factory.mktemp("here") / "index"
    report = index_here(corpus, place)
    return stored(place), counts(report)


def test_an_index_in_object_storage_is_that_of_one_machine(
    runtime: RayRuntime,
    corpus: Path,
    reference: tuple[Content, dict[str, object]],
    tmp_path: Path,
) -> None:
    url = f"{tmp_path.as_uri()}/bucket"
    with open_index(url, local_folder=tmp_path / "copy") as index:
        report = index_files([corpus], index, runtime, on_error=lambda error: None)
        assert content(index) == reference[0]
    assert counts(report) == reference[1]
    (error,) = report.errors
    assert "note-05-bad.txt" in str(error)
    elsewhere = stored(url, local_folder=tmp_path / "other", create=False)
    assert elsewhere == reference[0]


def test_a_killed_actor_changes_nothing(
    runtime: RayRuntime,
    corpus: Path,
    reference: tuple[Content, dict[str, object]],
    tmp_path: Path,
) -> None:
    work = PassageWork(CHUNK_TOKENS, OVERLAP, vectors=True, keep_states=True)
    with (
        open_index(tmp_path / "index") as index,
        ActorPool(runtime, PassageWorker, [work], actors=2) as pool,
    ):
        victims = [about.process for about in pool.about]

        def kill_one(now: IngestProgress) -> None:
            if victims:
                os.kill(victims.pop(), signal.SIGKILL)
                victims.clear()

        encoder = index.ingest_embedder()
        report = ingest(
            [corpus],
            index.store,
            encoder,
            progress=kill_one,
            on_error=lambda error: None,
            maker=RayMaker(pool, encoder, None),
        )
        assert not victims
        assert content(index) == reference[0]
    assert counts(report) == reference[1]


_DRIVER = """
import sys
from pathlib import Path
from secondpass.cluster.bulk_index import index_files
from secondpass.cluster.ray_runtime import ray_runtime
from tests.cluster.bulk import open_index

corpus, place, address = sys.argv[1:]

def wait_to_be_killed(now):
    print(now.documents, flush=True)
    sys.stdin.read()

if __name__ == "__main__":
    with ray_runtime(address) as runtime, open_index(place) as index:
        index_files([Path(corpus)], index, runtime, actors=1,
                    on_error=lambda error: None, progress=wait_to_be_killed)
"""


def test_a_run_goes_on_where_a_killed_one_was(
    runtime: RayRuntime,
    corpus: Path,
    reference: tuple[Content, dict[str, object]],
    tmp_path: Path,
) -> None:
    place = tmp_path / "index"
    script = tmp_path / "driver.py"
    script.write_text(_DRIVER)
    address = runtime.ray.get_runtime_context().gcs_address
    with subprocess.Popen(
        [sys.executable, str(script), str(corpus), str(place), address],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as driver:
        assert driver.stdout is not None
        # The first batch is stored, and others are being made.
        assert driver.stdout.readline().strip()
        driver.kill()
    with open_index(place) as index:
        stored_before = index.count()
        assert 0 < stored_before < 150
        report = index_files([corpus], index, runtime, actors=1, on_error=lambda error: None)
        assert content(index) == reference[0]
    assert report.added == 150 - stored_before
    # A file that was stored to its end is not read again.
    assert report.unchanged + report.files_unchanged == stored_before
    assert report.differences == []


def test_actors_that_cannot_start_are_an_error_that_says_what_holds_the_cpus(
    runtime: RayRuntime,
) -> None:
    ray = runtime.ray
    holder = ray.remote(PassageWorker).options(num_cpus=1.995)
    work = PassageWork(None, 0, vectors=False, keep_states=False)
    held = holder.remote(work)
    ray.get(held.describe.remote())
    try:
        with pytest.raises(InputError, match=r"2 of 2 actors of Ray did not start.* are free"):
            ActorPool(runtime, PassageWorker, [work], actors=2, start_seconds=1.0)
    finally:
        ray.kill(held)


def _texts(count: int) -> list[str]:
    chance = random.Random(3)
    words = ["river", "sea", "bread", "water", "tea", "steep", "green", "grind", "coffee"]
    return [
        f"{number} " + " ".join(chance.choices(words, k=chance.choice([4, 12, 30])))
        for number in range(count)
    ]


def test_reranking_a_file_gives_the_results_of_one_machine(
    runtime: RayRuntime, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "candidates.jsonl"
    lines = [{"id": f"d{i}", "text": text} for i, text in enumerate(_texts(150))]
    file.write_text("\n".join(map(json.dumps, lines)))
    here = run("rerank", "How long does green tea steep?", file, "--top-k", 50, "--json")
    there = run(
        *("rerank", "How long does green tea steep?", file, "--top-k", 50, "--json"),
        *("--on", "ray", "--actors", 2),
    )
    assert there.code == here.code == 0, there.err
    # Batches of another size round otherwise.
    assert [r["id"] for r in there.json["results"]] == [r["id"] for r in here.json["results"]]
    scores = [[r["score"] for r in ran.json["results"]] for ran in (here, there)]
    assert scores[1] == pytest.approx(scores[0], abs=1e-5)
    assert there.json["usage"]["scored"] == 150
    assert "Reranking: finished, 150 documents" in there.err


def test_mining_gives_the_negatives_of_one_machine(
    runtime: RayRuntime, run: Run, tmp_path: Path
) -> None:
    texts = _texts(80)
    pairs, corpus = tmp_path / "pairs.jsonl", tmp_path / "corpus.jsonl"
    rows = [{"query": f"What of {t[:20]}?", "positive": t} for t in texts[:5]]
    pairs.write_text("\n".join(map(json.dumps, rows)))
    corpus.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    mine = ("mine", pairs, "--corpus", corpus, "--depth", 20, "--json")
    here = run(*mine, "--out", tmp_path / "here")
    there = run(*mine, "--out", tmp_path / "there", "--on", "ray", "--actors", 2)
    assert there.code == here.code == 0, there.err
    assert {**there.json, "path": ""} == {**here.json, "path": ""}
    for file in sorted((tmp_path / "here").iterdir()):
        assert (tmp_path / "there" / file.name).read_bytes() == file.read_bytes()


def test_a_model_of_a_provider_is_refused(
    runtime: RayRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CO_API_KEY", "none")
    with (
        pytest.raises(InputError, match="A provider's model does not run on Ray"),
        ray_reranker(runtime, "cohere/rerank-v3.5"),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on", "spark"), "There is no place 'spark' for work"),
        (("--on", "ray", "--actors", 0), "There must be at least one actor"),
        (("--actors", 2), "--actors is for work on Ray"),
        (("--address", "head:6379"), "--address is for work on Ray"),
        (("--on", "ray", "--address", "ray://head:10001"), "not the address of a Ray cluster"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, options: tuple[object, ...], message: str
) -> None:
    done = run("rerank", "tea", "-", *options, stdin=b"Green tea.\n")
    assert done.code == 2
    assert message in done.err
