"""The queue: order by deadline, bounds, failures, giving up, draining."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import InputError
from secondpass.server.scheduler.queue import (
    BatchItem,
    OverloadedError,
    Part,
    QueueTimeoutError,
    WorkQueue,
)

FAR = time.monotonic() + 10_000


class Gate:
    """A part that runs until it is let go."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.open.wait(10)
        return "gate"


def held(queue: WorkQueue) -> Gate:
    """Keep the queue busy, with a job whose deadline is the soonest."""
    gate = Gate()
    queue.submit([Part(1, gate)], time.monotonic() + 100)
    assert gate.begun.wait(10)
    return gate


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=8))
def test_the_soonest_deadline_goes_first_and_no_part_is_lost(
    jobs: list[tuple[int, int]],
) -> None:
    queue, log = WorkQueue(10_000), list[tuple[int, int]]()
    gate = held(queue)

    def part(job: int, number: int) -> Part:
        def run() -> int:
            log.append((job, number))
            return number

        return Part(1, run)

    waiting = [
        queue.submit([part(i, n) for n in range(parts)], FAR + after)
        for i, (after, parts) in enumerate(jobs)
    ]
    gate.open.set()
    assert [job.result.result(10) for job in waiting] == [list(range(n)) for _, n in jobs]
    assert queue.close(10)
    assert queue.waiting == 0
    order = sorted(range(len(jobs)), key=lambda i: (jobs[i][0], i))
    assert log == [(i, n) for i in order for n in range(jobs[i][1])]


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([None, "a", "b"]), st.integers(1, 6)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 20),
)
def test_parts_that_can_be_are_done_at_once_within_the_bound(
    jobs: list[tuple[int, str | None, int]], most: int
) -> None:
    told: list[tuple[float, int]] = []
    queue = WorkQueue(
        10_000,
        max_batch_work=most,
        on_batch=lambda batch: told.append((batch.work, batch.jobs)),
    )
    gate = held(queue)
    batches: list[list[int]] = []

    def part(number: int, key: str | None, work: int) -> Part:
        def run(items: Sequence[int]) -> list[int]:
            batches.append(list(items))
            return [item * 10 for item in items]

        item = None if key is None else BatchItem(key, number, run)
        return Part(work, lambda: run([number])[0], item)

    waiting = [
        queue.submit([part(i, key, work)], FAR + after)
        for i, (after, key, work) in enumerate(jobs)
    ]
    gate.open.set()
    assert [job.result.result(10) for job in waiting] == [[i * 10] for i in range(len(jobs))]
    assert queue.close(10)
    assert queue.waiting == 0
    assert sorted(i for batch in batches for i in batch) == list(range(len(jobs)))
    order = sorted(range(len(jobs)), key=lambda i: (jobs[i][0], i))
    for batch in batches:
        keys = {jobs[i][1] for i in batch}
        assert len(keys) == 1
        assert len(batch) == 1 or (None not in keys and sum(jobs[i][2] for i in batch) <= most)
        # The soonest of all that were left leads its batch.
        assert batch[0] == order[0]
        order = [i for i in order if i not in batch]
    assert sum(count for _, count in told) == len(jobs) + 1


def test_one_that_fails_fails_alone() -> None:
    queue = WorkQueue(100, max_batch_work=100)
    gate = held(queue)

    def run(items: Sequence[int]) -> list[int]:
        if 2 in items:
            raise ValueError("two")
        return list(items)

    waiting = [
        queue.submit([Part(1, lambda i=i: run([i])[0], BatchItem("k", i, run))], FAR)  # type: ignore[misc]
        for i in range(4)
    ]
    gate.open.set()
    assert [waiting[i].result.result(10) for i in (0, 1, 3)] == [[0], [1], [3]]
    with pytest.raises(ValueError, match="two"):
        waiting[2].result.result(10)
    assert queue.waiting == 0


def test_a_sooner_job_waits_for_one_part_only() -> None:
    queue, log = WorkQueue(100), list[str]()
    gate = Gate()
    long = queue.submit([Part(1, gate), *[Part(1, lambda: log.append("long"))] * 5], FAR)
    assert gate.begun.wait(10)
    short = queue.submit([Part(1, lambda: log.append("short"))], FAR - 1)
    gate.open.set()
    short.result.result(10)
    long.result.result(10)
    assert log == ["short", *["long"] * 5]


def test_too_much_work_is_refused_with_a_time_and_a_lone_job_is_not() -> None:
    queue = WorkQueue(10)
    queue.submit([Part(50, lambda: None)], FAR).result.result(10)
    gate = held(queue)
    queue.submit([Part(9, lambda: None)], FAR)
    with pytest.raises(OverloadedError) as caught:
        queue.submit([Part(2, lambda: None)], FAR)
    assert caught.value.retry_after > 0
    gate.open.set()
    assert queue.close(10)
    with pytest.raises(OverloadedError):
        queue.submit([Part(1, lambda: None)], FAR)


def test_who_gives_up_frees_the_place() -> None:
    queue = WorkQueue(10)
    gate = held(queue)
    ran: list[int] = []
    job = queue.submit([Part(9, lambda: ran.append(1))], FAR)
    job.cancel()
    queue.submit([Part(9, lambda: ran.append(2))], FAR)
    gate.open.set()
    assert queue.close(10)
    assert ran == [2]
    with pytest.raises(CancelledError):
        job.result.result(1)
    assert queue.waiting == 0


def test_giving_up_while_a_sooner_job_waits_does_no_harm() -> None:
    queue = WorkQueue(100)
    gate = Gate()
    running = queue.submit([Part(5, gate), Part(5, lambda: None)], FAR)
    assert gate.begun.wait(10)
    sooner = queue.submit([Part(5, lambda: "sooner")], FAR - 1)
    running.cancel()
    later = queue.submit([Part(5, lambda: "later")], FAR + 1)
    gate.open.set()
    assert sooner.result.result(10) == ["sooner"]
    assert later.result.result(10) == ["later"]
    assert queue.close(10)
    assert queue.waiting == 0


def test_a_failure_is_the_callers_and_the_next_job_runs() -> None:
    queue = WorkQueue(10)

    def broken() -> None:
        raise RuntimeError("broken")

    first = queue.submit([Part(1, broken), Part(1, lambda: 1)], FAR)
    second = queue.submit([Part(1, lambda: 2)], FAR)
    with pytest.raises(RuntimeError, match="broken"):
        first.result.result(10)
    assert second.result.result(10) == [2]
    assert queue.waiting == 0


def test_what_is_late_is_not_begun() -> None:
    queue = WorkQueue(10)
    job = queue.submit([Part(1, lambda: 1)], time.monotonic() - 1)
    with pytest.raises(OverloadedError):
        job.result.result(10)
    assert queue.waiting == 0


def test_what_is_late_after_its_first_part_is_the_requests_own_size() -> None:
    queue = WorkQueue(10)
    gate = Gate()
    job = queue.submit([Part(1, gate), Part(1, lambda: 1)], time.monotonic() + 0.2)
    assert gate.begun.wait(10)
    time.sleep(0.25)
    gate.open.set()
    with pytest.raises(QueueTimeoutError):
        job.result.result(10)


def test_what_could_not_be_done_in_time_is_refused_at_once() -> None:
    queue = WorkQueue(10_000)
    # A pace of 100 a second or less.
    queue.submit([Part(1, lambda: time.sleep(0.01))], FAR).result.result(10)
    gate = held(queue)
    queue.submit([Part(1000, lambda: None)], time.monotonic() + 1.9)
    with pytest.raises(OverloadedError) as caught:
        queue.submit([Part(1, lambda: None)], time.monotonic() + 2)
    assert caught.value.retry_after > 2
    queue.submit([Part(1, lambda: None)], FAR)
    gate.open.set()
    assert queue.close(10)


def test_closing_waits_no_longer_than_told() -> None:
    queue = WorkQueue(10)
    gate = held(queue)
    assert not queue.close(0.05)
    gate.open.set()
    assert queue.close(10)


@pytest.mark.parametrize("most", [0, -1, float("nan")])
def test_a_bound_that_cannot_be(most: float) -> None:
    with pytest.raises(InputError):
        WorkQueue(most)


def test_requests_share_a_batch_where_there_is_room() -> None:
    queue = WorkQueue(100, max_batch_work=3)
    gate = held(queue)
    batches: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return list(items)

    waiting = [
        queue.submit([Part(1, lambda i=i: run([i])[0], BatchItem("k", i, run))], FAR)  # type: ignore[misc]
        for i in range(4)
    ]
    gate.open.set()
    assert [job.result.result(10) for job in waiting] == [[0], [1], [2], [3]]
    assert batches == [[0, 1, 2], [3]]
