"""Scores in Redis: a Redis that dies, hangs, is full or refuses costs no search its answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError, Status
from secondpass.policies import Cached
from secondpass.rerank.policies import redis_store
from secondpass.rerank.policies.redis_store import (
    RedisScores,
    RedisURL,
    check_redis,
    connect,
    is_redis_url,
)
from secondpass.rerank.policies.score_store import MAX_PACKED, pack
from tests.contract.test_score_store import batch, kept, name
from tests.loopback.redis_server import RedisServer, free_port, needs_redis, redis_server
from tests.rerank.simple import Numbers, numbered

pytest.importorskip("redis", reason="the extra redis is not installed")
SECRET = "s3cret/?#@"
UNUSABLE = "the score cache in Redis could not be used:"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def store_at(url: str, **more: Any) -> RedisScores:
    return RedisScores(RedisURL.parse(url), **more)


class Clock:
    """A clock in seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def looked(store: RedisScores) -> None:
    """Wait until the thread that looks for Redis has ended."""
    thread = store._looking
    if thread is not None:
        thread.join()


# --- its URL


def test_parts_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    url = RedisURL.parse("rediss://me:s3cret%2F%3F%23%40@Host:7/3?ttl=60&timeout_ms=5.5")
    assert url == RedisURL("host", 7, 3, True, "me", SECRET, 60, 5.5)
    assert SECRET not in repr(url)
    assert str(url) == "rediss://host:7/3"
    assert RedisURL.parse("redis://h") == RedisURL("h")
    assert str(RedisURL.parse("redis://[::1]/2")) == "redis://[::1]:6379/2"
    monkeypatch.setenv("REDIS_USERNAME", "user")
    monkeypatch.setenv("REDIS_PASSWORD", "other")
    assert RedisURL.parse("redis://h") == RedisURL("h", user="user", password="other")
    assert RedisURL.parse("redis://:mine@h") == RedisURL("h", user="user", password="mine")


@pytest.mark.parametrize(
    "rest",
    [
        *("h/db", "h:port", "h/-1", "", "h?ttl=0", "h?ttl=x", "h?timeout_ms=nan", "h?tll=5"),
        *("h/0#1", "[::1", "h/1/2", "u:a/b@h", "u:a?b@h", "u:a#b@h", "h?ttl=1e99", "h?ttl="),
    ],
)
def test_a_wrong_url_is_named_without_its_secret(rest: str) -> None:
    where = rest if "@" in rest else f"u:{'hidden'}@{rest}"
    with pytest.raises(InputError, match="URL of the score cache") as raised:
        Cached(Numbers(), f"redis://{where}")
    assert "hidden" not in str(raised.value)


@given(st.text(max_size=20))
def test_any_text_is_a_url_or_an_error_of_ours(text: str) -> None:
    try:
        url = RedisURL.parse(f"redis://{text}")
    except InputError:
        return
    assert RedisURL.parse(str(url)).host == url.host


def test_what_is_a_url_of_redis() -> None:
    assert is_redis_url("REDIS://h")
    assert is_redis_url("rediss://h")
    for place in ("scores.sqlite", "redis:", "", Path("redis:/h"), None, True):
        assert not is_redis_url(place)
    for place in ("http://h", "s3://b/c", "sqlite:///f"):
        with pytest.raises(InputError, match=r"redis://HOST:PORT/DB"):
            Cached(Numbers(), place)


# --- a Redis that is well


@needs_redis
def test_scores_expire_and_are_small(server: RedisServer) -> None:
    store = store_at(f"{server.url}&ttl=777")
    assert store.put(batch(*range(50))) is None
    client = connect(RedisURL.parse(server.url))
    keys: Any = client.keys()
    assert len(keys) == 50
    for key in keys:
        assert 0 < int(client.ttl(key)) <= 777
        assert int(client.strlen(key)) <= MAX_PACKED
    assert store.size() == (0, 0)
    client.close()
    store.close()


@needs_redis
def test_values_of_others_never_give_a_score(server: RedisServer) -> None:
    store = store_at(server.url)
    client = connect(RedisURL.parse(server.url))
    prefix = redis_store._PREFIX
    client.set(prefix + name(1), b"x" * 5_000_000)
    client.set(prefix + name(2), pack(name(3), kept(3)))
    client.set(prefix + name(4), pack(name(4), kept(4)) + b"x")
    client.rpush(prefix + name(5), "a list")
    client.set(prefix + name(7), b"")
    store.put(batch(6))
    found, problem = store.get([name(n) for n in range(1, 8)])
    assert found == batch(6)
    assert problem == "Redis did not return 1 scores: it answered WRONGTYPE"
    client.delete(prefix + name(5))
    found, problem = store.get([name(n) for n in range(1, 8)])
    assert found == batch(6)
    assert problem == "the score cache in Redis has 3 damaged scores"
    assert store.put(batch(*range(1, 8))) is None
    assert store.get([name(n) for n in range(1, 8)]) == (batch(*range(1, 8)), None)
    client.close()
    store.close()


@needs_redis
def test_databases_of_one_server_are_separate(server: RedisServer) -> None:
    one, other = store_at(server.url), store_at(server.url.replace("/0?", "/1?"))
    one.put(batch(1))
    assert other.get([name(1)]) == ({}, None)
    one.close()
    other.close()


@needs_redis
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_connects_for_itself(server: RedisServer) -> None:
    store = store_at(server.url)
    store.put(batch(1))
    pid = os.fork()
    if pid == 0:
        found, problem = store.get([name(1)])
        os._exit(0 if (found, problem, store.put(batch(2))) == (batch(1), None, None) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.get([name(1), name(2)]) == (batch(1, 2), None)
    store.close()


# --- a Redis that is not


def test_where_there_is_no_redis_every_answer_is_right_and_says_so() -> None:
    inner = Numbers()
    cached = Cached(inner, f"redis://127.0.0.1:{free_port()}")
    for query in ("a", "b"):
        response = cached.rerank(query, numbered([1.0, 3.0]))
        assert response.results == Numbers().rerank(query, numbered([1.0, 3.0])).results
        assert response.status is Status.RERANKED
        assert response.reason is not None
        assert "score cache in Redis could not be used" in response.reason
    assert inner.read == 4
    # Two searches, each of which would have read and written.
    assert cached.stats().failures == 4
    # What is in memory needs no Redis.
    assert cached.rerank("a", numbered([1.0, 3.0])).reason is None
    cached.close()


@needs_redis
def test_a_redis_that_is_killed_and_comes_back(server: RedisServer) -> None:
    clock = Clock()
    store = store_at(server.url, clock=clock)
    assert store.put(batch(1, 2)) is None
    server.kill()
    found, problem = store.get([name(1)])
    assert found == {}
    assert problem == f"{UNUSABLE} it cannot be reached"
    server.start()
    # Until the pause is over nobody looks.
    clock.now = 4.9
    assert store.get([name(1)]) == ({}, problem)
    assert store._looking is None
    # Then a thread does, and the search that begins it does not wait for it.
    clock.now = 5.1
    assert store.get([name(1)])[0] == {}
    looked(store)
    assert store.put(batch(1)) is None
    assert store.get([name(1), name(2)]) == (batch(1), None)
    store.close()


@needs_redis
def test_a_connection_that_was_idle_while_redis_restarted_is_made_again(
    server: RedisServer,
) -> None:
    store = store_at(server.url)
    store.put(batch(1))
    server.kill()
    server.start()
    assert store.put(batch(2)) is None
    assert store.get([name(1), name(2)]) == (batch(2), None)
    store.close()


@needs_redis
def test_a_redis_that_hangs_costs_one_time_out() -> None:
    clock = Clock()
    with redis_server(timeout_ms=200) as server:
        store = store_at(server.url, clock=clock)
        while store.put(batch(1)) is not None:
            # On a busy machine the first answer may come late.
            clock.now += 6
            looked(store)
        server.freeze()
        found, problem = store.get([name(1)])
        assert found == {}
        assert problem == f"{UNUSABLE} it did not answer in time"
        # Nothing is sent now: a client that would connect is not made.
        store._client.close()
        store._client = None  # type: ignore[assignment]
        assert store.get([name(1)]) == ({}, problem)
        assert store.put(batch(2)) == problem
        server.resume()


@needs_redis
def test_a_redis_that_hangs_from_the_start(server: RedisServer) -> None:
    server.freeze()
    url = server.url.replace("timeout_ms=10000", "timeout_ms=20")
    clock = Clock()
    store = store_at(url, clock=clock)
    assert store.get([name(1)])[0] == {}
    looked(store)
    assert store.put(batch(1)) == (f"{UNUSABLE} it did not answer in time")
    server.resume()
    store.close()
    other = store_at(server.url)
    assert other.put(batch(1)) is None
    other.close()


@needs_redis
def test_a_full_redis_still_answers_what_it_has() -> None:
    limits = ("--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
    with redis_server(*limits) as server:
        store = store_at(server.url)
        problem, stored = None, 0
        while problem is None:
            problem = store.put(batch(*range(stored, stored + 1000)))
            stored += 1000
            assert stored < 100_000
        assert "it is full" in problem
        found, problem = store.get([name(n) for n in range(500)])
        assert (found, problem) == (batch(*range(500)), None)
        assert check_redis(store.url)["advice"] == (
            "a full one refuses new scores: set maxmemory-policy allkeys-lru"
        )
        store.close()


@needs_redis
def test_a_redis_that_evicts_takes_new_scores() -> None:
    limits = ("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru")
    with redis_server(*limits) as server:
        store = store_at(server.url)
        for start in range(0, 40_000, 1000):
            assert store.put(batch(*range(start, start + 1000))) is None
        found, problem = store.get([name(n) for n in range(40_000)])
        assert problem is None
        assert 0 < len(found) < 40_000
        assert found == batch(*(int.from_bytes(n, "little") for n in found))
        assert check_redis(store.url)["advice"] is None
        store.close()


@needs_redis
def test_a_wrong_password_is_said_and_no_secret_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server("--requirepass", "right") as server:
        for secret in ("", f":{'wrong'}@"):
            url = server.url.replace("//", f"//{secret}")
            cached = Cached(Numbers(), url)
            cached.rerank("q", numbered([1.0]))
            assert cached._store is not None
            looked(cached._store)  # type: ignore[arg-type]
            reason = str(cached.rerank("r", numbered([1.0])).reason)
            assert "it refused the user or the password" in reason
            assert "wrong" not in reason
            assert check_redis(RedisURL.parse(url))["ok"] is False
            cached.close()
        monkeypatch.setenv("REDIS_PASSWORD", "right")
        store = store_at(server.url)
        assert store.put(batch(1)) is None
        report = check_redis(store.url)
        assert report["ok"] is True
        assert "right" not in repr(report)
        assert report["advice"] == (
            "it has no maxmemory: set one, with maxmemory-policy allkeys-lru"
        )
        store.close()


@needs_redis
def test_searches_go_on_while_redis_is_killed_and_restarted(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_PAUSE", 0.0)
    cached = Cached(Numbers(), server.url, entries=1)
    stop, wrong = threading.Event(), list[object]()

    def search(number: int) -> None:
        values = [float(number), 2.0, 7.0]
        expected = Numbers().rerank("q", numbered(values)).results
        while not stop.is_set():
            response = cached.rerank("q", numbered(values))
            if response.results != expected or response.status is not Status.RERANKED:
                wrong.append(response)

    threads = [threading.Thread(target=search, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        server.kill()
        failures = cached.stats().failures
        while cached.stats().failures == failures:
            stop.wait(0.01)
        server.start()
        hits = cached.stats().file_hits
        while cached.stats().file_hits == hits:
            stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    cached.close()
