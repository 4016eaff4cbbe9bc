"""How many copies a shard needs, by the work in the queues of those that it has."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.cluster.autoscale import (
    BUSY,
    QUEUED,
    QueueLoad,
    choose_copies,
    count_copies,
    scale_ingress,
    scale_shards,
)
from secondpass.server.scheduler.queue import Part, WorkQueue
from tests.cluster.bulk import needs_ray


@pytest.mark.parametrize(
    ("queued", "busy", "copies"),
    [
        ([0.0], [0.0], 1),
        ([0.4], [0.9], 1),
        ([1.2], [1.0], 3),
        ([0.6, 0.6], [1.0, 1.0], 3),
        # Little waits, as there are two; one would have too much to do.
        ([0.1, 0.1], [0.5, 0.5], 2),
        ([0.1, 0.1], [0.3, 0.3], 1),
        ([], [], 1),
    ],
)
def test_copies_by_queued_work(queued: list[float], busy: list[float], copies: int) -> None:
    metrics = {QUEUED: dict(enumerate(queued)), BUSY: dict(enumerate(busy))}
    assert count_copies(metrics, len(queued)) == copies


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_busy_copies_alone_add_none(busy: list[float]) -> None:
    metrics = {QUEUED: dict.fromkeys(range(len(busy)), 0.0), BUSY: dict(enumerate(busy))}
    assert 1 <= count_copies(metrics, len(busy)) <= len(busy)


def test_what_a_copy_tells_is_of_its_queue() -> None:
    now = 0.0

    def batch() -> None:
        nonlocal now
        now += 2.0

    queue, gate = WorkQueue(1000, clock=lambda: now), threading.Event()
    load = QueueLoad(queue)
    assert load.read() == {QUEUED: 0.0, BUSY: 0.0}
    queue.submit([Part(10, batch)], 1e9).result.result(10)
    assert queue.busy_seconds == pytest.approx(2)
    assert load.read()[BUSY] > 0
    # Small or large: what counts is the time that it takes.
    waiting = queue.submit([Part(10, gate.wait), Part(10, batch)], 1e9)
    assert load.read()[QUEUED] == pytest.approx(4)
    gate.set()
    waiting.result.result(10)
    ends = time.monotonic() + 10
    while load.read()[QUEUED]:
        assert time.monotonic() < ends


def test_the_number_stays_within_its_bounds() -> None:
    def chosen(metrics: dict[str, dict[str, float]]) -> int:
        context = SimpleNamespace(
            aggregated_metrics=metrics,
            current_num_replicas=2,
            target_num_replicas=3,
            capacity_adjusted_min_replicas=2,
            capacity_adjusted_max_replicas=4,
        )
        return choose_copies(context)[0]

    assert chosen({QUEUED: {"a": 9.0}, BUSY: {"a": 1.0}}) == 4
    assert chosen({QUEUED: {"a": 0.0}, BUSY: {"a": 0.0}}) == 2
    # None has told anything: what was decided stays.
    assert chosen({}) == 3


@needs_ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ray_serve_takes_the_options() -> None:
    from ray.serve.config import AutoscalingConfig

    for options in (scale_shards((1, 4), (5, 60)), scale_ingress((1, 4), (5, 60))):
        config = AutoscalingConfig(**options["autoscaling_config"])
        assert (config.min_replicas, config.max_replicas) == (1, 4)
        assert (config.upscale_delay_s, config.downscale_delay_s) == (5, 60)
