"""A server with a shared score cache: hits of other servers, counted, and a Redis that dies."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from secondpass import InputError
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from tests.loopback.redis_server import needs_redis, redis_server
from tests.server.conftest import QUERY, TEXTS, running, serving
from tests.server.telemetry.test_metrics import Counts

ASK = {"query": QUERY, "documents": TEXTS}


def ranked(url: str) -> list[tuple[int, float]]:
    response = httpx2.post(f"{url}/v1/rerank", json=ASK, timeout=30)
    assert response.status_code == 200
    return [(r["index"], r["relevance_score"]) for r in response.json()["results"]]


def pairs(url: str, model: str, found: str) -> float:
    return Counts(url)("score_cache_pairs_total", model=model, found=found)


def test_a_file_is_shared_by_servers(model: str, tmp_path: Path) -> None:
    settings = ServerSettings(models=[model], cache=tmp_path / "scores.sqlite")
    with serving(settings) as url:
        first = ranked(url)
        assert ranked(url) == first
        assert pairs(url, model, "nowhere") == pairs(url, model, "memory") == len(TEXTS)
    with serving(settings) as url:
        assert ranked(url) == first
        assert pairs(url, model, "shared") == len(TEXTS)


@needs_redis
def test_a_redis_is_shared_by_servers_and_may_die(model: str) -> None:
    pytest.importorskip("redis", reason="the extra redis is not installed")
    with redis_server() as redis:
        settings = ServerSettings(models=[model], cache=redis.url)
        with serving(settings) as url:
            first = ranked(url)
        with running(settings) as found:
            assert ranked(found.url) == first
            assert pairs(found.url, model, "shared") == len(TEXTS)
            redis.kill()
            other = httpx2.post(f"{found.url}/v1/rerank", json={**ASK, "query": "bread"})
            assert other.status_code == 200
            assert len(other.json()["results"]) == len(TEXTS)
            counts = Counts(found.url)
            assert counts("score_cache_failures_total", model=model) == 2


def test_settings_show_no_secret_of_a_cache() -> None:
    assert "hidden" not in repr(ServerSettings(cache="redis://:hidden@h"))


def test_a_cache_that_cannot_be_is_an_error_at_the_start(model: str) -> None:
    for cache in ("s3://bucket/scores", "redis://:hidden@"):
        state = ServerState(ServerSettings(models=[model], cache=cache))
        with pytest.raises(InputError) as raised:
            state.load()
        state.close()
        assert "hidden" not in str(raised.value)
