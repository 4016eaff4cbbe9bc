"""Indexes that a server searches by shards, in the place of indexes of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.cluster.shard import ShardStatus
from secondpass.cluster.shard_calls import ShardCalls, Transport
from secondpass.cluster.sharded_index import ShardedIndex
from secondpass.cluster.sharded_search import ShardedSearch
from secondpass.server.index_catalog import IndexKey, SearchedOnly, ServedIndex

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from secondpass.index.search import Search
    from secondpass.retrieve.embedder import Embedder
    from secondpass.server.served_database import Database
    from secondpass.server.state import ServerState


START_SECONDS = 60.0
"""How long a server waits for all shards to answer, before it starts without some."""


class ServedShards(SearchedOnly):
    """An index that shards search; it is written to by `secondpass index`."""

    why = (
        "is searched by shards, which do not write: store documents with "
        "secondpass index FILES --index PLACE, on any machine that has its place"
    )

    def __init__(self, key: IndexKey, search: ShardedSearch, place: str | Path) -> None:
        super().__init__(key)
        self._search, self._place = search, place

    @property
    def source(self) -> Search:
        """The search over all shards."""
        return self._search

    @property
    def explainable(self) -> Search:
        """The search over all shards."""
        return self._search

    def count(self) -> int:
        """Return how many documents there are."""
        return self._search.index.about.documents

    @property
    def database(self) -> Database | None:
        """None: it is an index of secondpass."""
        return None

    @property
    def status(self) -> Mapping[str, Any]:
        """The version, the shards that do not answer, and what failed."""
        index, calls = self._search.index, self._search.index.calls
        missing = {
            f"shard {shard} of {calls.count}": why for shard, why in sorted(calls.down.items())
        }
        problem = calls.problems.get(index.name)
        if problem is None and missing:
            problem = "; ".join(f"{name} {why}" for name, why in missing.items())
        status: dict[str, Any] = {"status": "ok" if problem is None else problem}
        pin = index.about.pin
        if pin is not None:
            status = {"version": pin.number, **status}
        return {**status, "shards": calls.count, "missing_shards": sorted(calls.down)}

    def close(self) -> None:
        """Close the files of cached scores; the shards stay."""
        self._search.close()


class ShardedIndexes:
    """All indexes that the shards of a server search; an `Elsewhere` of a `ServerState`."""

    def __init__(self, transport: Transport, *, timeout: float, replicas: int = 1) -> None:
        self._indexes: list[ShardedIndex] = []
        self.calls = ShardCalls(
            transport, timeout=timeout, replicas=replicas, on_status=self._move
        )
        self.calls.start()

    @property
    def metrics(self) -> Collector:
        """The counts of calls to the shards."""
        return self.calls.metrics()

    def open(
        self, state: ServerState, place: str | Path, key: IndexKey, embedder: Embedder
    ) -> ServedIndex:
        """Return what is served of an index; raises RetrieverError where no shard answers."""
        # They load models and fetch what is missing meanwhile; some may be down for long.
        self.calls.wait(START_SECONDS)
        index = ShardedIndex(key.name, self.calls)
        self.watch(index)
        models = {name: state.loaded_model(name) for name in state.settings.loaded_models}
        search = ShardedSearch(index, embedder, models[state.models[0]], models)
        search.use_models(state.default_rescorers)
        return ServedShards(key, search, place)

    def watch(self, index: ShardedIndex) -> None:
        """Move an index to each new version that the shards have."""
        self._indexes.append(index)

    def close(self) -> None:
        """Stop asking the shards."""
        self.calls.close()

    def _move(self, statuses: Sequence[ShardStatus]) -> None:
        for index in self._indexes:
            index.move(statuses)
