"""Shards with more to read than they have time for: what is read, and what a client is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Reranker
from secondpass.cluster.autoscale import BUSY, QUEUED
from secondpass.cluster.serve_on_ray import ShardReplica
from secondpass.cluster.shard import Refusal, ShardPlan, ShardStatus, shard_settings
from secondpass.cluster.shard_calls import OVERLOADED, ShardCalls
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.server.http_errors import to_http_error
from secondpass.server.scheduler.queue import OverloadedError, Part
from secondpass.server.settings import ServerSettings
from secondpass.types import Candidate, Document, Status
from tests.cluster.local_shards import MODEL, make_index, sharded

QUERY = "a ship near the harbor"
ALL: Any = {"candidates": 40, "top_k": 40, "blend": False}
MANY = 1_000_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overload") / "index"
    make_index(folder, reranker=Reranker(MODEL))
    return folder


def test_what_an_overloaded_shard_owns_stays_unread(place: Path) -> None:
    with sharded(place, 2) as (search, transport):
        whole = {r.id: r.score for r in search.search(QUERY, **ALL).results}
        transport.overloaded[1] = MANY
        part = search.search(QUERY, **ALL)
        assert part.status is Status.PARTIALLY_RERANKED
        assert part.reason is not None
        assert "shard 1 of 2 is overloaded" in part.reason
        read = [r for r in part.results if r.scored]
        assert 0 < len(read) < len(part.results) == 40
        assert {r.id: r.score for r in read} == {r.id: whole[r.id] for r in read}
        calls = search.index.calls
        # It works, and the next search asks it again.
        assert not calls.down
        assert (calls.overloaded[1], calls.unanswered[1]) == (1, 0)
        assert calls.unread[1] == 40 - len(read)
        transport.overloaded.clear()
        assert search.search(QUERY, **ALL).status is Status.RERANKED


def test_where_no_shard_has_time_the_client_is_told_when_to_come_back(place: Path) -> None:
    with sharded(place, 2) as (search, transport):
        transport.overloaded[0] = transport.overloaded[1] = MANY
        with pytest.raises(OverloadedError) as caught:
            search.search(QUERY, **ALL)
        error = to_http_error(caught.value)
        assert (error.status, error.retry_after) == (429, 7.0)
        # Early: each was asked once, for nothing that reads would have waited.
        assert [method for _, method in transport.calls].count("read") == 2
        search.search(QUERY, rerank=False)


class Scripted:
    """A transport that answers the readings of a shard by a function of how many came before.

    A float is how long an answer takes; None refuses at once.
    """

    def __init__(self, shards: Sequence[Sequence[float | None]]) -> None:
        self._shards, self.asked = shards, [0] * len(shards)
        self.seconds: list[list[float]] = [[] for _ in shards]

    @property
    def shards(self) -> int:
        return len(self._shards)

    async def send(self, shard: int, method: str, arguments: Sequence[Any]) -> Any:
        if method == "status":
            return ShardStatus({}, {})
        self.seconds[shard].append(arguments[-1][0])
        number = self.asked[shard]
        self.asked[shard] += 1
        answer = self._shards[shard][min(number, len(self._shards[shard]) - 1)]
        if answer is None:
            return Refusal.of(OverloadedError(0.01))
        await asyncio.sleep(answer)
        return number


def ask(
    script: Sequence[Sequence[float | None]], *, replicas: int = 1, timeout: float = 10.0
) -> tuple[Any, Scripted]:
    transport = Scripted(script)
    calls = ShardCalls(transport, timeout=timeout, replicas=replicas)
    try:
        work = dict.fromkeys(range(transport.shards), ("read", ()))
        return calls.ask_owners(work, dict.fromkeys(work, 1)), transport
    finally:
        calls.close()


def test_a_shard_that_refused_is_asked_again_while_others_read() -> None:
    answers, transport = ask([[0.5], [None, None, 0.0]])
    assert answers.found == {0: 0, 1: 2}
    # Each time it is told how much time is left.
    assert transport.seconds[1] == sorted(transport.seconds[1], reverse=True)
    answers, transport = ask([[0.5], [None]])
    assert (answers.found, answers.missing) == ({0: 0}, {1: OVERLOADED})
    # With longer and longer pauses.
    assert 1 < transport.asked[1] < 8


def test_a_copy_that_is_alone_is_not_asked_twice() -> None:
    answers, transport = ask([[0.5]], timeout=1.0)
    assert (answers.found, transport.asked) == ({0: 0}, [1])


def test_a_refused_second_copy_does_not_end_what_the_first_one_reads() -> None:
    # The second is asked after a third of the time.
    answers, transport = ask([[1.0, None]], replicas=2, timeout=1.5)
    assert (answers.found, transport.asked) == ({0: 0}, [2])
    answers, transport = ask([[None, 0.0]], replicas=2)
    assert (answers.found, transport.asked) == ({0: 1}, [2])


def test_a_caller_that_is_gone_frees_its_place(place: Path) -> None:
    settings = ServerSettings(models=[MODEL], indexes={"docs": place})
    plan = ShardPlan(0, 1, settings.indexes, shard_settings(settings))
    replica = ShardReplica(plan, "info", False)
    queue = replica.shard.queue
    gate = threading.Event()
    queue.submit([Part(1, gate.wait)], time.monotonic() + 1)

    async def give_up() -> None:
        some = [Candidate(Document("the river meets the sea"))]
        arguments = ("docs", MODEL, QUERY, some, ScoringOptions(), (60.0, ""))
        reading = asyncio.ensure_future(replica.call("read", arguments))
        while queue.waiting <= 1:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(give_up())
    # The next request finds the place free, long before the deadline.
    queue.admit(time.monotonic() + 60)
    assert queue.waiting == 1
    # Ray Serve asks for it by this name.
    assert set(replica.record_autoscaling_stats()) == {BUSY, QUEUED}
    gate.set()
    replica.shard.close()
