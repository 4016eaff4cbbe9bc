"""Places of cached scores that must keep the contract, each with a function that opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from secondpass.rerank.policies.redis_store import RedisScores, RedisURL
from secondpass.rerank.policies.score_store import (
    CachedScore,
    ScoreMemory,
    ScoreStore,
    SharedScores,
)
from tests.loopback.redis_server import redis_server

Reopen = Callable[[], SharedScores]
"""Opens the same place again, as another process would."""


class Memory:
    """Scores in memory, which a second opening shares."""

    def __init__(self, scores: ScoreMemory) -> None:
        self.scores = scores

    def get(self, keys: Sequence[bytes]) -> tuple[dict[bytes, CachedScore], str | None]:
        return self.scores.get(keys), None

    def put(self, scores: Mapping[bytes, CachedScore]) -> str | None:
        self.scores.put(scores)
        return None

    def size(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        pass


@contextmanager
def memory(folder: Path) -> Iterator[Reopen]:
    scores = ScoreMemory(100_000)
    yield lambda: Memory(scores)


@contextmanager
def sqlite(folder: Path) -> Iterator[Reopen]:
    yield lambda: ScoreStore(folder / "scores.sqlite", max_bytes=10**8)


@contextmanager
def redis(folder: Path) -> Iterator[Reopen]:
    with redis_server() as server:
        yield lambda: RedisScores(RedisURL.parse(server.url))


SCORE_STORES = {"memory": memory, "sqlite": sqlite, "redis": redis}
