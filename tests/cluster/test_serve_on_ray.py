"""A server on Ray Serve: the same answers, also while processes end, stop and versions move."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index, Reranker
from tests.cluster.bulk import needs_ray
from tests.cluster.local_shards import MODEL, make_index, wait_until

pytestmark = needs_ray
ROOT = Path(__file__).parents[2]
QUERY = "a ship near the harbor"
BODY: Any = {"query": QUERY, "candidates": 40, "top_k": 40, "blend": False}


@dataclass
class OnRay:
    """A server on Ray: its address, the URL of its index, and the process that runs it."""

    url: str
    place: str
    folder: Path
    process: subprocess.Popen[str]

    def search(self, **options: Any) -> Any:
        url = f"{self.url}/api/v1/indexes/docs/search"
        found = httpx2.post(url, json=BODY | options, timeout=60)
        assert found.status_code == 200, found.text
        return found.json()

    def status(self) -> Any:
        return httpx2.get(f"{self.url}/ready", timeout=60).json()["indexes"]["docs"]

    def replicas(self, shard: int) -> list[int]:
        """Return the processes of a shard."""
        name = f"ServeReplica:secondpass:shard-{shard}"
        own = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_text()
                group = os.getsid(int(folder.name))
            except (OSError, ProcessLookupError):
                continue
            if name in title and group == self.process.pid:
                own.append(int(folder.name))
        return own


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    folder = tmp_path_factory.mktemp("ray")
    place = f"file://{folder}/store"
    make_index(place, reranker=Reranker(MODEL), local_folder=folder / "writer")
    command = [
        *(sys.executable, "-m", "secondpass", "serve", "--on", "ray", "--shards", "2"),
        *("--model", MODEL, "--index", f"docs={place}", "--port", "0", "--threads", "1"),
        *("--shard-timeout", "3"),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stderr=log, text=True, env=variables, start_new_session=True
        )
    try:
        url: list[str] = []

        def started() -> bool:
            text = (folder / "log").read_text()
            assert process.poll() is None, text
            lines = [line for line in text.splitlines() if line.startswith("{")]
            url[:] = [u for line in lines if (u := json.loads(line).get("url")) is not None]
            return bool(url)

        wait_until(started, 180)
        yield OnRay(url[0], place, folder, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def test_results_are_those_of_one_index(served: OnRay) -> None:
    with Index.open(
        served.place, reranker=Reranker(MODEL), local_folder=served.folder / "one"
    ) as index:
        for options in ({}, {"filter": "year >= 2002", "spans": True}, {"group_by": "kind"}):
            found = served.search(**options)
            expected = index.search(**BODY | options)
            assert found["status"] == expected.status.value
            assert [r["id"] for r in found["results"]] == [r.id for r in expected.results]
            assert [r["score"] for r in found["results"]] == pytest.approx(
                [r.score for r in expected.results], abs=1e-4
            )
            for row, result in zip(found["results"], expected.results, strict=True):
                assert [s["start"] for s in row.get("spans", [])] == [
                    s.start for s in result.spans
                ]


def test_other_routes_work_and_writes_are_refused(served: OnRay) -> None:
    body = {"query": QUERY, "documents": ["bread", "a ship in the harbor"], "model": MODEL}
    ranked = httpx2.post(f"{served.url}/v2/rerank", json=body, timeout=60).json()
    assert ranked["results"][0]["index"] == 1
    about = httpx2.get(f"{served.url}/api/v1/indexes/docs", timeout=60).json()
    assert about["documents"] == 60
    url = f"{served.url}/api/v1/indexes/docs/documents"
    refused = httpx2.post(url, json={"documents": [{"text": "new"}]}, timeout=60)
    assert refused.status_code == 403
    assert "secondpass index" in refused.text
    explain = {"query": QUERY, "document": "d3"}
    explained = httpx2.post(
        f"{served.url}/api/v1/indexes/docs/explain", json=explain, timeout=60
    )
    assert explained.status_code == 200, explained.text
    large = httpx2.post(f"{served.url}/v2/rerank", content=b"x" * 21_000_000, timeout=60)
    assert large.status_code == 413


def test_an_answer_is_streamed(served: OnRay) -> None:
    url = f"{served.url}/api/v1/indexes/docs/answer"
    body = {"query": QUERY, "stream": True}
    with httpx2.stream("POST", url, json=body, timeout=60) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [line for line in response.iter_lines() if line.startswith("event: ")]
    assert events[0] == "event: passages"
    assert events[-1] == "event: answer"


def test_a_process_that_ends_costs_no_request(served: OnRay) -> None:
    (process,) = served.replicas(0)
    os.kill(process, signal.SIGKILL)
    seen = {served.search()["status"] for _ in range(5)}
    assert seen <= {"reranked", "partially_reranked"}
    wait_until(lambda: served.replicas(0) not in ([], [process]), 90)
    wait_until(lambda: served.status()["missing_shards"] == [], 90)
    assert served.search()["status"] == "reranked"


def test_a_process_that_is_stopped_leaves_its_candidates_unread(served: OnRay) -> None:
    whole = {r["id"]: r["score"] for r in served.search()["results"]}
    (process,) = served.replicas(1)
    os.kill(process, signal.SIGSTOP)
    try:
        part = served.search()
        assert part["status"] == "partially_reranked"
        assert "shard 1 of 2" in part["reason"]
        assert "did not answer" in part["reason"]
        for row in part["results"]:
            if row["scored"]:
                assert row["score"] == pytest.approx(whole[row["id"]], abs=1e-4)
        wait_until(lambda: served.status()["missing_shards"] == [1], 30)
        text = httpx2.get(f"{served.url}/metrics", timeout=60).text
        assert 'secondpass_shard_up{shard="1"} 0.0' in text
    finally:
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: served.status()["missing_shards"] == [], 90)
    assert served.search()["status"] == "reranked"


def test_a_new_version_is_moved_to(served: OnRay) -> None:
    before = served.status()["version"]
    with Index.open(
        served.place, reranker=Reranker(MODEL), local_folder=served.folder / "writer"
    ) as index:
        index.add([{"id": "new", "text": "A ship came into the harbor."}])
    ends = time.monotonic() + 60
    while served.status()["version"] == before and time.monotonic() < ends:
        assert served.search()["status"] == "reranked"
    assert "new" in [row["id"] for row in served.search()["results"]]
