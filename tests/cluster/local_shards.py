"""Shards in threads of this process, which a test can stop and let go on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondpass import Index
from secondpass.cluster.served_shards import ShardedIndexes
from secondpass.cluster.shard import Refusal, Shard, ShardPlan, shard_settings
from secondpass.cluster.sharded_index import ShardedIndex
from secondpass.cluster.sharded_search import ShardedSearch
from secondpass.errors import SecondpassError
from secondpass.server.scheduler.queue import OverloadedError
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState

MODEL = "bundled-tiny"
WITH_STATES = "bundled"
"""A precomputed reranker over the embedder of an index."""
WORDS = ["river", "sea", "ship", "bread", "water", "harbor", "tea", "storm", "bridge", "field"]


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is true; fails where it is not after so long."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def documents(count: int = 60) -> list[dict[str, Any]]:
    """Short documents over few words, so that every query has many candidates."""
    made = []
    for i in range(count):
        words = [WORDS[(i * step + step) % len(WORDS)] for step in (1, 3, 7)]
        text = f"The {words[0]} is near the {words[1]}. A {words[2]} was seen on day {i}."
        made.append({"id": f"d{i}", "text": text, "year": 2000 + i % 5, "kind": words[0]})
    return made


def make_index(place: str | Path, count: int = 60, **options: Any) -> None:
    """Make an index of `documents`."""
    with Index.open(place, **options) as index:
        index.add(documents(count))


class LocalTransport:
    """Sends calls to shards of this process; those in `stopped` do not answer.

    `overloaded`: how many more readings a shard has no time for.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self.stopped: set[int] = set()
        self.failing: set[int] = set()
        self.overloaded: Counter[int] = Counter()
        self.calls: list[tuple[int, str]] = []

    @property
    def shards(self) -> int:
        return len(self._shards)

    async def send(self, shard: int, method: str, arguments: Sequence[Any]) -> Any:
        self.calls.append((shard, method))
        if shard in self.failing:
            raise ConnectionError("the process ended")
        while shard in self.stopped:
            await asyncio.sleep(0.01)
        if method.startswith("read") and self.overloaded[shard] > 0:
            self.overloaded[shard] -= 1
            return Refusal.of(OverloadedError(7.0))
        function = getattr(self._shards[shard], method)
        try:
            return await asyncio.to_thread(function, *arguments)
        except SecondpassError as error:
            return Refusal.of(error)


@contextmanager
def sharded(
    place: str | Path,
    shards: int,
    *,
    timeout: float = 10.0,
    model: str = MODEL,
    replicas: int = 1,
) -> Iterator[tuple[ShardedSearch, LocalTransport]]:
    """Search an index by so many shards in this process."""
    settings = ServerSettings(models=[model], indexes={"docs": place})
    own = [
        Shard(ShardPlan(n, shards, settings.indexes, shard_settings(settings)))
        for n in range(shards)
    ]
    transport = LocalTransport(own)
    indexes = ShardedIndexes(transport, timeout=timeout, replicas=replicas)
    state = ServerState(shard_settings(settings))
    state.load()
    index = ShardedIndex("docs", indexes.calls)
    indexes.watch(index)
    models = {name: state.loaded_model(name) for name in settings.loaded_models}
    search = ShardedSearch(index, state.embedder(), state.model(), models)
    search.use_models({name: models[name] for name in models if name == settings.rescorer})
    try:
        yield search, transport
    finally:
        transport.stopped.clear()
        search.close()
        indexes.close()
        for shard in own:
            shard.close()
        state.close()
