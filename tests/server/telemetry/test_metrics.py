"""What an operator can count, read by Prometheus' own parser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_families,
)
from prometheus_client.parser import text_string_to_metric_families

from secondpass.server.access.api_keys import KeyEntry, KeyFile
from secondpass.server.request_context import RequestRecord
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from secondpass.server.telemetry.metrics import Metrics, StorageCollector
from tests.server.conftest import QUERY, TEXTS, keyed, running
from tests.server.load import busy, sending, until

ASK = {"query": QUERY, "documents": TEXTS}


class Counts:
    """The samples of a server, by name and labels."""

    def __init__(self, url: str) -> None:
        self.text = httpx2.get(f"{url}/metrics").text
        self.families = list(text_string_to_metric_families(self.text))
        self._values = {
            (s.name, frozenset(s.labels.items())): s.value
            for family in self.families
            for s in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self._values[f"secondpass_{name}", frozenset(labels.items())]


def test_requests_stages_and_batches(model: str) -> None:
    with running(ServerSettings(models=[model])) as found:
        for path in ("/tei/rerank", "/v1/rerank", "/v1/rerank"):
            body = {"query": QUERY, "texts": TEXTS} if path.startswith("/tei") else ASK
            assert httpx2.post(f"{found.url}{path}", json=body).status_code == 200
        httpx2.post(f"{found.url}/v1/rerank", json={"query": "q", "documents": []})
        httpx2.get(f"{found.url}/no/such")
        httpx2.get(f"{found.url}/health")
        until(lambda: 'dialect="none"' in Counts(found.url).text)
        counts = Counts(found.url)
    assert counts("requests_total", dialect="tei", status="200") == 1
    assert counts("requests_total", dialect="none", status="404") == 1
    assert counts("requests_refused_total", reason="invalid") == 1
    assert counts("documents_total") == 3 * len(TEXTS)
    assert counts("request_duration_seconds_count", dialect="tei") == 1
    assert counts("stage_duration_seconds_count", stage="rerank") == 3
    assert counts("queue_wait_seconds_count") == 3
    assert counts("batch_tokens_count") == counts("batch_requests_sum") == 3
    assert counts("batch_tokens_sum") > 0
    assert counts("model_busy_seconds_total") > 0
    assert counts("ready") == counts("model_ready", model=model) == 1
    assert counts("queue_waiting_tokens") == 0
    assert counts("queue_waiting_tokens_limit") == 1_000_000
    assert "process_resident_memory_bytes" in counts.text
    assert "/health" not in counts.text


def test_what_is_refused_is_counted_by_why_and_by_key(model: str, tmp_path: Path) -> None:
    settings = keyed(tmp_path, model, most_waiting=100)
    keys = KeyFile(tmp_path / "keys.json")
    fast = {"authorization": f"Bearer {keys.create('fast', ['rerank'])}"}
    slow = keys.create("slow", ["rerank"], per_minute=1)
    with running(settings) as found:
        for key in (slow, slow, "none"):
            headers = {"authorization": f"Bearer {key}"}
            httpx2.post(f"{found.url}/v1/rerank", json=ASK, headers=headers)
        with sending(found.url) as send, busy(found) as let_go:
            first = send(headers=fast)
            until(lambda: found.state.queue.waiting > 1)
            assert send(headers=fast).result(10).status_code == 429
            waits = Counts(found.url)
            let_go()
            assert first.result(10).status_code == 200
        counts = Counts(found.url)
    assert waits("queue_waiting_tokens") > 1
    assert waits("requests_in_progress") == 1
    assert counts("requests_refused_total", reason="rate") == 1
    assert counts("requests_refused_total", reason="busy") == 1
    assert counts("requests_refused_total", reason="no_key") == 1
    assert counts("rate_limited_total", key=slow.split("-")[1]) == 1


def test_names_follow_the_conventions_and_both_formats_can_be_read(model: str) -> None:
    with running(ServerSettings(models=[model])) as found:
        httpx2.post(f"{found.url}/v1/rerank", json=ASK)
        counts = Counts(found.url)
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        answer = httpx2.get(f"{found.url}/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    own = [f for f in open_families(answer.text) if f.name.startswith("secondpass_")]
    assert len(own) >= 14
    for family in own:
        assert family.documentation.endswith(".")
        assert re.fullmatch(r"secondpass(_[a-z]+)+", family.name)
        assert not re.search(r"_(ms|milliseconds|kb|mb|count|total)(_|$)", family.name)
        if family.type == "counter":
            assert all(s.name.endswith(("_total", "_created")) for s in family.samples)
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_tokens", "_requests"))
    assert {f.name for f in counts.families} >= {f.name for f in own if f.type == "gauge"}


def test_indexes_are_counted(model: str, tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason="the extra index is not installed")
    from secondpass import Index
    from secondpass.server.index_catalog import IndexKey

    with Index.open(tmp_path / "sea", keep_states=False) as index:
        index.add(TEXTS)
    settings = ServerSettings(
        models=[model], indexes={"sea": tmp_path / "sea"}, data=tmp_path / "data"
    )
    (tmp_path / "data").mkdir()
    with running(settings) as found:
        found.state.catalog.create(IndexKey("default", "mine", "one"))
        found.state.catalog.create(IndexKey("acme", "mine", "two"))
        counts = Counts(found.url)
        again = Counts(found.url)
    assert counts("index_documents", index="sea") == len(TEXTS)
    assert counts("index_bytes", index="sea") > 1000
    assert counts("data_indexes") == 2
    assert counts("data_bytes") > 0
    assert counts("data_free_bytes") > 0
    assert "acme" not in counts.text
    assert again("index_bytes", index="sea") == counts("index_bytes", index="sea")


def test_folders_are_walked_once_a_minute(tmp_path: Path) -> None:
    class Ready:
        """The state of a server with an empty data folder."""

        ready = True
        settings = ServerSettings(data=tmp_path)

        class catalog:  # noqa: N801
            @staticmethod
            def count_created() -> int:
                return 0

    now = [0.0]
    state: Any = Ready()
    collector = StorageCollector(state, lambda: now[0])

    def size() -> float:
        (found,) = [m for m in collector.collect() if m.name == "secondpass_data_bytes"]
        return found.samples[0].value

    assert size() == 0
    (tmp_path / "file").write_bytes(b"12345")
    now[0] = 59
    assert size() == 0
    now[0] = 61
    assert size() == 5


def test_a_thousand_keys_are_not_a_thousand_series() -> None:
    metrics = Metrics(ServerState(ServerSettings()))
    for number in range(1000):
        key = KeyEntry(f"{number:08x}", "k", ("rerank",), "", "")
        seen = RequestRecord("id", "POST", "/v1/rerank", status=429, problem="rate", caller=key)
        metrics.count(seen)
    text, _ = metrics.text()
    families = {f.name: f for f in text_string_to_metric_families(text.decode())}
    found = families["secondpass_rate_limited"].samples
    totals = [s for s in found if s.name.endswith("_total")]
    assert len(totals) == 101
    assert sum(s.value for s in totals) == 1000
