"""What every place of cached scores must do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass import ScoreKind
from secondpass.policies import Cached
from secondpass.rerank.policies.score_store import CachedScore
from secondpass.rerank.score import Score, WindowScore
from tests.contract.score_stores import SCORE_STORES, Reopen
from tests.loopback.redis_server import BINARY
from tests.rerank.simple import Numbers, numbered


def name(number: int) -> bytes:
    return number.to_bytes(16, "little")


def kept(number: int) -> CachedScore:
    best = (WindowScore(number, number + 9, number / 7),) if number % 2 else ()
    score = Score(number / 7, 0.25, 1 + number % 3, number, window_scores=best)
    return CachedScore(score, ScoreKind.LOGIT)


def batch(*numbers: int) -> dict[bytes, CachedScore]:
    return {name(n): kept(n) for n in numbers}


@pytest.fixture(params=SCORE_STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    if request.param == "redis":
        pytest.importorskip("redis", reason="the extra redis is not installed")
        if BINARY is None:
            pytest.skip("redis-server is not installed (Debian: apt install redis-server)")
    with SCORE_STORES[request.param](tmp_path) as opened:
        yield opened


def test_what_was_put_is_found_to_the_last_bit(reopen: Reopen) -> None:
    store = reopen()
    assert store.get([name(1)]) == ({}, None)
    assert store.get([]) == ({}, None)
    assert store.put({}) is None
    assert store.put(batch(*range(2500))) is None
    found, problem = store.get([name(n) for n in range(1250, 3750)])
    assert (found, problem) == (batch(*range(1250, 2500)), None)
    store.close()


def test_a_later_score_replaces_an_earlier_one(reopen: Reopen) -> None:
    store = reopen()
    store.put(batch(1, 2))
    store.put({name(1): kept(9)})
    assert store.get([name(1), name(2)]) == ({name(1): kept(9), name(2): kept(2)}, None)
    store.close()


def test_another_opening_finds_what_was_put(reopen: Reopen) -> None:
    one, other = reopen(), reopen()
    assert one.put(batch(1)) is None
    assert other.get([name(1)]) == (batch(1), None)
    assert other.put(batch(2)) is None
    assert one.get([name(1), name(2)]) == (batch(1, 2), None)
    one.close()
    other.close()
    assert one.get([name(2)]) == (batch(2), None)
    one.close()


def test_threads_write_and_read_at_once(reopen: Reopen) -> None:
    store, wrong = reopen(), list[object]()

    def work(start: int) -> None:
        for first in range(start, start + 200, 20):
            problem = store.put(batch(*range(first, first + 20)))
            found, other = store.get([name(n) for n in range(800)])
            if (problem, other) != (None, None) or found != batch(
                *(int.from_bytes(n, "little") for n in found)
            ):
                wrong.append((problem, other))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 800, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.get([name(n) for n in range(800)]) == (batch(*range(800)), None)
    store.close()


def test_a_reranker_is_asked_once_for_each_pair(reopen: Reopen) -> None:
    plain = Numbers().rerank("q", numbered([1.0, 3.0, 2.0]))
    for turn in range(2):
        inner = Numbers()
        cached = Cached(inner)
        cached._store = reopen()
        response = cached.rerank("q", numbered([1.0, 3.0, 2.0]))
        assert (response.results, response.reason) == (plain.results, None)
        assert cached.stats().file_hits == inner.read - 3 + (6 if turn else 0)
        assert inner.read == (0 if turn else 3)
        cached.close()
