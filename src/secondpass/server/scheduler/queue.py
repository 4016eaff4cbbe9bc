"""The work queue in front of a model: earliest deadline first, in batches, bounded.

One thread runs the work, since a model uses all its threads for one batch. Jobs are split into
parts. Before each batch the job with the earliest deadline is chosen, so that a long job delays
no other for longer than one batch (earliest deadline first; Liu and Layland, Journal of the
ACM, 1973). Parts of other jobs that can run in the same batch join it, in the order of their
deadlines.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import InputError, SecondpassError

# The weight of a new measurement in the moving averages of work and time per batch.
_SMOOTHING = 0.2
_INITIAL_RATE = 1000.0
# The share of its time until the deadline that a job may have to wait: the rest is for its own
# work, and for when the model is slower than of late.
_MAX_WAIT_SHARE = 0.5


class OverloadedError(SecondpassError):
    """The queue is full, or its wait too long; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("The server is busy", fix=f"Try again in {retry_after:.0f} s.")
        self.retry_after = retry_after


class QueueTimeoutError(SecondpassError):
    """A request did not finish before its deadline."""


class ClientDisconnectedError(SecondpassError):
    """The client disconnected, or the server stops."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """How a part runs in one batch with parts of other jobs.

    Parts whose `key` is equal can share a batch: `run` takes the items of all, and returns a
    result for each.
    """

    key: Hashable
    item: Any
    run: Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a job: how much work it is, in any unit above 0, and what does it.

    `batch_item`: None for what runs in a batch of its own.
    """

    work: float
    run: Callable[[], Any]
    batch_item: BatchItem | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch that was run: how much work, of how many jobs, and how long it took.

    `waited` is the longest that one of the jobs had waited; both times are in seconds.
    """

    work: float
    jobs: int
    waited: float
    seconds: float


@dataclass(slots=True, eq=False)
class Job:
    """Parts that run one after the other; `result` has what each returned.

    `deadline`, `submitted` and `started`, which is None before the first part runs, are on
    the clock of `time.monotonic`.
    """

    deadline: float
    parts: deque[Part]
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    result: Future[list[Any]] = field(default_factory=Future)
    done: list[Any] = field(default_factory=list)

    @property
    def work(self) -> float:
        """How much work is left."""
        return sum(part.work for part in self.parts)

    def cancel(self) -> None:
        """Cancel the job: the running part is finished, the waiting parts are dropped."""
        self.result.cancel()

    def timeout_error(self, wait: float) -> SecondpassError:
        """Return why it missed its deadline; `wait` is how long a new job would wait."""
        if self.started is not None:
            return QueueTimeoutError("The request timed out")
        # It never ran: that is the server's load, not the request's size.
        return OverloadedError(wait)

    def settle(self, error: BaseException | None) -> None:
        """Set the results, or the error, for the waiting caller."""
        # A caller that cancels at this moment has done so first.
        if self.result.set_running_or_notify_cancel():
            if error is None:
                self.result.set_result(self.done)
            else:
                self.result.set_exception(error)


class WorkQueue:
    """Runs the parts of jobs in one thread, which starts with the first job.

    `max_work` bounds what may wait; a job that is alone is taken however large it is.
    `max_batch_work` bounds a batch to which several jobs contribute. `on_batch` is called with
    each batch that was run. Safe to use from several threads at once.
    """

    def __init__(
        self,
        max_work: float,
        *,
        max_batch_work: float = 0.0,
        on_batch: Callable[[Batch], None] | None = None,
    ) -> None:
        if not max_work > 0:
            raise InputError(f"max_work must be above 0, not {max_work!r}")
        self.max_work, self.max_batch_work = max_work, max_batch_work
        self.on_batch = on_batch
        self._jobs: list[tuple[float, int, Job]] = []
        self._running: list[Job] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._waiting = 0.0
        self._work_and_seconds = (_INITIAL_RATE, 1.0)
        self._measured = False
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> float:
        """How much work waits."""
        with self._changed:
            return self._waiting

    @property
    def expected_wait(self) -> float:
        """How many seconds the waiting work will take, at the recent rate."""
        with self._changed:
            return self._expected_wait()

    def admit(self, deadline: float) -> None:
        """Raise `OverloadedError` where a job with this deadline would be refused."""
        with self._changed:
            if self._jobs and self._waits_too_long(deadline):
                raise OverloadedError(self._expected_wait())

    def submit(self, parts: Sequence[Part], deadline: float) -> Job:
        """Queue a job; `deadline` is on the clock of `time.monotonic`.

        Raises `OverloadedError` where too much work waits, where the waiting work would, at the
        recent rate, take over half of the time until the deadline, and once it is closed.
        """
        job = Job(deadline, deque(parts))
        work = job.work
        with self._changed:
            self._remove_cancelled()
            full = self._waiting + work > self.max_work
            if self._closed or (self._jobs and (full or self._waits_too_long(deadline))):
                raise OverloadedError(self._expected_wait())
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="secondpass-queue", daemon=True
                )
                self._thread.start()
            self._waiting += work
            heapq.heappush(self._jobs, (deadline, next(self._order), job))
            self._changed.notify_all()
        return job

    @property
    def _rate(self) -> float:
        # A ratio of averages: an average of ratios would be that of the easiest batches.
        work, seconds = self._work_and_seconds
        return work / seconds

    def _expected_wait(self) -> float:
        return self._waiting / self._rate

    def _waits_too_long(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        return self._measured and self._expected_wait() > _MAX_WAIT_SHARE * left

    def close(self, seconds: float) -> bool:
        """Take no more jobs and wait for the queued ones; return whether all were finished."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._jobs, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                self._running = self._choose_batch()
            if self._running:
                self._run_batch(self._running)
            with self._changed:
                self._running = []
                self._jobs = [entry for entry in self._jobs if entry[2].parts]
                heapq.heapify(self._jobs)
                self._changed.notify_all()

    def _choose_batch(self) -> list[Job]:
        """Return the jobs whose next parts make the next batch."""
        chosen: list[Job] = []
        batch_work, batch_key = 0.0, None
        for _, _, job in sorted(self._jobs):
            if self._drop_if_over(job):
                continue
            part = job.parts[0]
            key = None if part.batch_item is None else part.batch_item.key
            if not chosen:
                batch_key = key
            elif key != batch_key or batch_work + part.work > self.max_batch_work:
                continue
            job.started = time.monotonic() if job.started is None else job.started
            chosen.append(job)
            batch_work += part.work
            if batch_key is None:
                break
        return chosen

    def _drop_if_over(self, job: Job) -> bool:
        """Drop a job that was cancelled or is late; return whether it was dropped."""
        if job.result.cancelled():
            self._drop(job)
            return True
        needed = 0.0
        if self._measured and job.started is None and len(self._jobs) > 1:
            # Started now, it would miss its deadline, and delay others for nothing.
            needed = job.parts[0].work / self._rate
        if time.monotonic() + needed >= job.deadline:
            wait = self._expected_wait()
            self._drop(job)
            job.settle(job.timeout_error(wait))
            return True
        return False

    def _run_batch(self, jobs: Sequence[Job]) -> None:
        parts = [job.parts[0] for job in jobs]
        started = time.monotonic()
        try:
            results = _run_parts(parts)
        except BaseException as error:  # noqa: BLE001 - it is the waiting caller's to handle
            if len(jobs) > 1:
                # Each alone, so that only the job at fault fails.
                for job in jobs:
                    self._run_batch([job])
                return
            with self._changed:
                self._drop(jobs[0])
            jobs[0].settle(error)
            return
        seconds = max(time.monotonic() - started, 1e-6)
        work = sum(part.work for part in parts)
        with self._changed:
            for job, result in zip(jobs, results, strict=True):
                job.done.append(result)
                job.parts.popleft()
            self._waiting -= work
            self._measure(work, seconds)
        if self.on_batch is not None:
            waited = max(started - job.submitted for job in jobs)
            self.on_batch(Batch(work, len(jobs), waited, seconds))
        for job in jobs:
            if not job.parts:
                job.settle(None)

    def _measure(self, work: float, seconds: float) -> None:
        if self._measured:
            average_work, average_seconds = self._work_and_seconds
            work = (1 - _SMOOTHING) * average_work + _SMOOTHING * work
            seconds = (1 - _SMOOTHING) * average_seconds + _SMOOTHING * seconds
        self._work_and_seconds, self._measured = (work, seconds), True

    def _remove_cancelled(self) -> None:
        """Remove jobs that were cancelled, except those that are running."""
        for entry in [e for e in self._jobs if e[2].result.cancelled()]:
            if entry[2] not in self._running:
                self._waiting -= entry[2].work
                self._jobs.remove(entry)
        heapq.heapify(self._jobs)

    def _drop(self, job: Job) -> None:
        self._waiting -= job.work
        job.parts.clear()


def _run_parts(parts: Sequence[Part]) -> Sequence[Any]:
    batch_item = parts[0].batch_item
    if batch_item is None or len(parts) == 1:
        return [parts[0].run()]
    items = [part.batch_item.item for part in parts if part.batch_item is not None]
    results = batch_item.run(items)
    if len(results) != len(parts):
        raise ValueError(f"{len(results)} results of {len(parts)} parts")
    return results
