"""Embedding through the queue: in order, and never so much at once that others find it full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from secondpass.retrieve.store_protocol import Passage
from secondpass.server.scheduler.queue import Part, WorkQueue
from secondpass.server.scheduler.scheduled_models import ScheduledEncoder

FAR = 1e12


class Watching:
    """Embeds a text as its length, and looks at the queue meanwhile."""

    name = digest = "watching"
    dimension = 1

    def __init__(self, queue: WorkQueue) -> None:
        self.queue, self.most = queue, 0.0

    def encode(self, texts: Sequence[str]) -> Any:
        self.most = max(self.most, self.queue.waiting)
        return np.array([[len(t)] for t in texts], np.float32).reshape(-1, 1)


@pytest.mark.parametrize("count", [0, 1, 32, 33, 256, 257, 1000])
def test_a_large_batch_leaves_room_for_others(count: int) -> None:
    queue = WorkQueue(20_000)
    encoder = Watching(queue)
    texts = ["word " * (n % 50) for n in range(count)]
    found = ScheduledEncoder(encoder, queue).encode(texts)
    assert found[:, 0].tolist() == [len(t) for t in texts]
    assert encoder.most <= 20_000
    queue.submit([Part(1, lambda: None)], FAR)
    assert queue.close(10)


class Remembering(Watching):
    """Has windows of 512 tokens still to read of each passage, as many as its text has."""

    def __init__(self, queue: WorkQueue) -> None:
        super().__init__(queue)
        self.read: list[int] = []
        self.largest = 0

    def unread_windows(self, passages: Sequence[Passage]) -> list[Any]:
        ids = np.zeros(512, dtype=np.int64)
        return [(ids + n, ids) for n in range(sum(len(p.text) for p in passages))]

    def read_windows(self, sequences: Sequence[Any]) -> None:
        self.most = max(self.most, self.queue.waiting)
        self.largest = max(self.largest, len(sequences))
        self.read += [int(ids[0]) for ids, _ in sequences]

    def remember(self, passages: Sequence[Passage]) -> None:
        raise AssertionError("all windows were read at once")


@pytest.mark.parametrize("count", [0, 1, 200])
def test_windows_of_long_passages_are_read_in_parts(count: int) -> None:
    queue = WorkQueue(20_000)
    encoder = Remembering(queue)
    ScheduledEncoder(encoder, queue).remember([Passage("a", "x" * count)])
    assert encoder.read == [*range(count)]
    assert encoder.largest <= 2
    assert encoder.most <= 20_000
    assert queue.close(10)
