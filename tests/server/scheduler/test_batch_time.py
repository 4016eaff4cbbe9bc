"""Estimates of the time of a batch."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.scheduler.batch_time import BatchTime
from secondpass.server.scheduler.queue import Part, WorkQueue

FULL = 1024


@given(
    st.floats(0, 0.1),
    st.floats(1e-6, 1e-2),
    st.lists(st.integers(1, FULL), min_size=2, max_size=4),
)
def test_a_constant_and_a_time_for_each_unit_are_learned(
    constant: float, each: float, sizes: list[int]
) -> None:
    time = BatchTime(FULL)
    sizes = [*sizes, 1, FULL]
    for _ in range(1600):
        for work in sizes:
            time.measure(work, constant + each * work)
    for work in sizes:
        assert time.estimate(1, work) == pytest.approx(constant + each * work, rel=0.02)


@given(st.integers(1, 2000), st.floats(1e-6, 10))
def test_the_first_batch_is_enough_for_others_of_its_size(work: int, seconds: float) -> None:
    time = BatchTime()
    assert not time.measured
    time.measure(work, seconds)
    assert time.measured
    assert time.estimate(3, 3 * work) == pytest.approx(3 * seconds)


@given(st.lists(st.tuples(st.integers(1, FULL), st.floats(0, 10)), min_size=1))
def test_no_time_is_below_zero(batches: list[tuple[int, float]]) -> None:
    time = BatchTime(FULL)
    for work, seconds in batches:
        time.measure(work, seconds)
        assert time.estimate(1, 0) >= 0
        assert time.estimate(0, FULL) >= 0


def test_one_batch_that_was_interrupted_does_not_fill_a_queue() -> None:
    time = BatchTime(FULL)
    for _ in range(100):
        time.measure(FULL, 0.03)
    # Other processes had the cores for a third of a second.
    time.measure(FULL, 0.3)
    assert time.estimate(80, 80 * FULL) < 1.5 * 80 * 0.03
    # A machine that stays slow is noticed.
    for _ in range(60):
        time.measure(FULL, 0.3)
    assert time.estimate(80, 80 * FULL) > 0.9 * 80 * 0.3


@pytest.mark.parametrize("searched_before", [True, False])
def test_a_night_of_health_checks_refuses_no_search(searched_before: bool) -> None:
    time = BatchTime(FULL)
    if searched_before:
        time.measure(FULL, 0.02)
    for _ in range(10 * 3600):
        time.measure(24, 0.01)
    assert time.estimate(100, 100 * FULL) < 3


def test_a_queue_admits_what_is_large_after_what_was_small() -> None:
    now = 0.0

    def check() -> None:
        nonlocal now
        now += 0.01

    queue, gate = WorkQueue(1e9, max_batch_work=FULL, clock=lambda: now), threading.Event()
    for _ in range(50):
        queue.submit([Part(24, check)], 1e9, "health").result.result(10)
    search = [Part(FULL, gate.wait) for _ in range(13)]
    jobs = [queue.submit(search, now + 10, "client") for _ in range(4)]
    gate.set()
    assert all(len(job.result.result(10)) == 13 for job in jobs)
    assert queue.close(10)
