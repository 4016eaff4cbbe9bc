"""Too much, too late, gone, and told to stop: what happens to requests then."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass import Reranker
from secondpass.server.access.api_keys import TENANT
from secondpass.server.http_errors import HttpError
from secondpass.server.scheduler.queue import Part
from secondpass.server.scheduler.scheduled_models import ScheduledReranker
from secondpass.server.settings import ServerSettings
from secondpass.server.state import MAX_CONCURRENT_REQUESTS, ServerState
from tests.loopback.hub import serve_hub, use_hub
from tests.server.conftest import QUERY, TEXTS, running
from tests.server.load import ASK, busy, sending, until
from tests.tiny_models import tiny_late_interaction


def test_beyond_what_may_wait_the_answer_is_429(model: str) -> None:
    settings = ServerSettings(models=[model], most_waiting=100)
    with running(settings) as found, sending(found.url) as send, busy(found) as let_go:
        first = send()
        until(lambda: found.state.queue.waiting > 1)
        refused = send().result(10)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "busy" in refused.json()["message"]
        tei = send("/rerank", {"query": "q", "texts": TEXTS}).result(10)
        assert (tei.status_code, tei.json()["error_type"]) == (429, "Overloaded")
        let_go()
        assert first.result(10).status_code == 200


def test_what_never_had_its_turn_is_429_and_leaves_the_queue(model: str) -> None:
    settings = ServerSettings(models=[model], timeout=0.2)
    with running(settings) as found, sending(found.url) as send, busy(found) as let_go:
        late = send().result(10)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) >= 1
        let_go()
        until(lambda: found.state.queue.waiting == 0)


def test_what_takes_longer_than_it_may_is_504(model: str) -> None:
    settings = ServerSettings(models=[model], timeout=0.2)
    texts = [f"{i} the river and the sea " * 400 for i in range(300)]
    with running(settings) as found, sending(found.url) as send:
        assert (
            send("/v1/rerank", {"query": "q", "documents": texts}).result(20).status_code == 504
        )
        until(lambda: found.state.queue.waiting == 0)


def test_a_client_that_hangs_up_frees_its_place(model: str) -> None:
    settings = ServerSettings(models=[model], most_waiting=100)
    with running(settings) as found, sending(found.url) as send, busy(found) as let_go:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{found.url}/v1/rerank", json=ASK, timeout=0.3)
        until(lambda: found.state.active_requests == 0)
        second = send()
        until(lambda: found.state.active_requests == 1)
        let_go()
        assert second.result(10).status_code == 200


def test_a_request_under_way_is_finished_when_the_server_stops(model: str) -> None:
    settings = ServerSettings(models=[model])
    with running(settings) as found, sending(found.url) as send, busy(found) as let_go:
        under_way = send()
        until(lambda: found.state.active_requests == 1)
        found.server.should_exit = True
        time.sleep(0.2)
        let_go()
        assert under_way.result(10).status_code == 200


def test_a_long_request_holds_up_a_short_one_for_no_longer_than_a_part(model: str) -> None:
    texts = ["the river and the sea " * 400] * 60
    settings = ServerSettings(models=[model], timeout=60)
    with running(settings) as found, sending(found.url) as send:
        long = send("/v1/rerank", {"query": QUERY, "documents": texts})
        until(lambda: found.state.queue.waiting > 1)
        assert send().result(20).status_code == 200
        assert len(long.result(60).json()["results"]) == len(texts)


def test_exits_leave_out_what_cannot_be_among_the_first() -> None:
    texts = [f"On page {n} there is nothing of it." for n in range(30)]
    body: Any = {"query": "the river and the sea", "documents": [*texts, *TEXTS], "top_n": 2}
    whole, early = (Reranker(early_exit=exits) for exits in (False, True))
    expected = whole.rerank(body["query"], body["documents"], top_k=2)
    assert early.rerank(body["query"], body["documents"], top_k=2).usage.pairs < len(texts)
    with running(ServerSettings(exits=True)) as found, sending(found.url) as send:
        rows = send("/v1/rerank", body).result(60).json()["results"]
        assert [row["index"] for row in rows] == [r.index for r in expected.results]
        # Where all are asked for, all are read.
        del body["top_n"]
        rows = send("/v1/rerank", body).result(60).json()["results"]
        assert len(rows) == len(body["documents"])


def test_limits(model: str) -> None:
    settings = ServerSettings(models=[model], max_documents=3, max_body=2000, strict=True)
    with running(settings) as found, sending(found.url) as send:
        many = send().result(10)
        assert many.status_code == 400
        assert "4 documents, at most 3" in many.json()["message"]
        pairs = send("/score", {"text_1": "a", "text_2": TEXTS}).result(10)
        assert pairs.status_code == 400
        large = send("/v1/rerank", {"query": "q", "documents": ["x" * 3000]}).result(10)
        assert large.status_code == 413
        own = send("/api/v1/rerank", {"query": "q", "documents": ["x" * 3000]}).result(10)
        assert own.status_code == 413
        parts = [b'{"query": "q", "documents": ["', b"x" * 1500, b"x" * 1500, b'"]}']
        for path in ("/v1/rerank", "/api/v1/rerank"):
            unsized = httpx2.post(f"{found.url}{path}", content=iter(parts))
            assert unsized.status_code == 413
        deep = send("/v1/rerank", {"query": "q", "x": [[[]]] * 2, "documents": ["a"]})
        assert deep.result(10).status_code == 200
        other = send("/v1/rerank", {"query": "q", "documents": ["a"], "model": "other"})
        assert other.result(10).status_code == 404
        own = send("/v1/rerank", {"query": "q", "documents": ["a"], "model": model})
        assert own.result(10).status_code == 200


def test_many_at_once_are_all_answered_and_alike(model: str, expected: list[int]) -> None:
    with running(ServerSettings(models=[model])) as found, sending(found.url) as send:
        waiting = [send() for _ in range(40)]
        orders = [[r["index"] for r in w.result(20).json()["results"]] for w in waiting]
        assert orders == [expected] * 40


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/rerank", ASK),
        ("/score", {"text_1": [QUERY] * 4, "text_2": TEXTS}),
    ],
)
def test_hanging_up_and_deadlines_hold_on_every_path(model: str, path: str, body: Any) -> None:
    settings = ServerSettings(models=[model], timeout=1)
    with running(settings) as found, sending(found.url) as send, busy(found) as let_go:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{found.url}{path}", json=body, timeout=0.3)
        until(lambda: found.state.active_requests == 0)
        started = time.monotonic()
        assert send(path, body).result(10).status_code == 429
        assert time.monotonic() - started < 3
        let_go()


def test_a_model_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "secondpass", "serve", "--model", str(tmp_path / "no")]
    done = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_the_command_serves_and_stops_cleanly(model: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "secondpass", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                address = re.search(r"http://127\.0\.0\.1:(\d+)", line)
                if address is not None:
                    break
            assert address is not None
            found = httpx2.post(f"{address.group()}/v1/rerank", json=ASK).json()
            assert len(found["results"]) == len(TEXTS)
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(30) == 0
        finally:
            process.kill()


async def test_a_stream_that_has_begun_is_not_refused_at_the_door(model: str) -> None:
    with running(ServerSettings(models=[model], timeout=2)) as found:
        state = found.state
        state.queue.submit([Part(1000, lambda: time.sleep(0.05))], time.monotonic() + 9)
        until(lambda: state.queue.waiting == 0)
        with busy(found):
            sooner = time.monotonic() + 1.9
            state.queue.submit([Part(100_000, lambda: None)], sooner, TENANT)
            with pytest.raises(HttpError, match="busy"):
                state.admit(state.ticket())
            assert await state.run(state.ticket(), lambda: "next piece") == "next piece"


def test_only_models_that_run_here_are_queued(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEI_BASE_URL", "http://127.0.0.1:9")
    state = ServerState(ServerSettings(models=[model, "tei"]))
    state.load()
    try:
        here, elsewhere = state.model(model), state.model("tei")
        assert isinstance(here, ScheduledReranker)
        assert not isinstance(elsewhere, ScheduledReranker)
        assert (here.base.runs_here, elsewhere.base.runs_here) == (True, False)
        assert elsewhere.base.max_length is None
        assert state.default_model is here.base
    finally:
        state.close()


async def test_one_tenant_leaves_threads_for_the_others(model: str) -> None:
    state, gate = ServerState(ServerSettings(models=[model])), threading.Event()
    try:
        ticket = partial(state.ticket, 30)
        held = [
            asyncio.ensure_future(state.run(ticket("heavy"), gate.wait))
            for _ in range(MAX_CONCURRENT_REQUESTS)
        ]
        await asyncio.sleep(0)
        assert state.active_requests == 128
        assert await state.run(ticket("light"), lambda: 1) == 1
        gate.set()
        results = await asyncio.gather(*held, return_exceptions=True)
        refused = [error for error in results if isinstance(error, HttpError)]
        assert [error.status for error in refused] == [429] * (MAX_CONCURRENT_REQUESTS - 128)
        assert state.active_requests == 0
    finally:
        state.close()


def test_models_of_repositories_are_those_that_the_server_was_started_with(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_late_interaction(tmp_path / "repository")
    commit = "c" * 40
    with serve_hub() as hub:
        use_hub(hub.url, tmp_path / "home", monkeypatch)
        for name in ("tiny/bare", "tiny/exact", "tiny/other"):
            hub.add(name, commit, tmp_path / "repository")
        names = [model, "tiny/bare", f"tiny/exact@{commit}"]
        settings = ServerSettings(models=names, strict=True)
        with running(settings) as found, sending(found.url) as send:
            assert send("/v1/rerank", {**ASK, "model": "tiny/bare"}).result(10).is_success
            assert found.state.model("tiny/exact") is found.state.model(names[2])
            hub.requests.clear()
            for name in ("tiny/other", f"tiny/bare@{commit}", "tiny"):
                other = send("/v1/rerank", {**ASK, "model": name}).result(10)
                assert other.status_code == 404
            assert not hub.requests
