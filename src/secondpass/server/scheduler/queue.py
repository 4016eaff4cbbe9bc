"""The work queue in front of a model: fair among tenants, in batches, bounded.

One thread runs the work, since a model uses all its threads for one batch. Jobs are split into
parts, so that a long job delays no other for longer than one batch. Before each batch it is the
turn of the tenant that has had the least work (start-time fair queueing; Goyal, Vin and Cheng,
SIGCOMM, 1996), and of its jobs the one with the earliest deadline is chosen (Liu and Layland,
Journal of the ACM, 1973). Parts of other jobs that can run in the same batch join it, in the
same order. Jobs without a deadline wait until no other waits.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import InputError, SecondpassError
from secondpass.server.scheduler.batch_time import BatchTime

# The share of its time until the deadline that a job may have to wait: the rest is for its own
# work, and for when the model is slower than of late.
_MAX_WAIT_SHARE = 0.5
MAX_RETRY_AFTER = 60.0
"""The longest time, in seconds, after which a client is told to try again."""
BURST = 16_384.0
"""How much work a tenant with less than its share may have before others, in tokens."""


class OverloadedError(SecondpassError):
    """The queue is full, or its wait too long; `retry_after` is in seconds.

    It is at most `MAX_RETRY_AFTER`: by then much of what waits may have been given up.
    """

    def __init__(self, retry_after: float) -> None:
        retry_after = min(retry_after, MAX_RETRY_AFTER)
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
    """Parts of one tenant that run one after the other; `result` has what each returned.

    `work` is how much is left. `deadline`, `submitted` and `started`, which is None before the
    first part runs, are on the clock of the queue.
    """

    tenant: str
    deadline: float
    parts: deque[Part]
    work: float
    number: int
    submitted: float
    started: float | None = None
    result: Future[list[Any]] = field(default_factory=Future)
    done: list[Any] = field(default_factory=list)

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


class FairShares:
    """Whose turn it is: the virtual time of each tenant, which its work moves on.

    The tenant with the earliest time is next. One that had no work for a while resumes at most
    `burst` behind the others: it goes first until that is used up, and then shares equally.
    """

    def __init__(self, burst: float = BURST) -> None:
        self._burst = burst
        self._now = 0.0
        self._times: dict[str, float] = {}

    def resume(self, tenant: str) -> None:
        """Note that a tenant has work."""
        earliest = self._now - self._burst
        self._times[tenant] = max(self._times.get(tenant, earliest), earliest)

    def time(self, tenant: str) -> float:
        """Return the virtual time of a tenant that has work."""
        return self._times[tenant]

    def charge(self, tenant: str, work: float) -> None:
        """Count work that a tenant has now."""
        self._now = max(self._now, self._times[tenant])
        self._times[tenant] += work


class WorkQueue:
    """Runs the parts of jobs in one thread, which starts with the first job.

    `max_work` bounds what may wait for one tenant; a job that is its only one is taken however
    large it is. `max_batch_work` bounds a batch to which several jobs contribute. `on_batch` is
    called with each batch that was run. `clock` is in seconds. Safe to use from several threads
    at once.
    """

    def __init__(
        self,
        max_work: float,
        *,
        max_batch_work: float = 0.0,
        on_batch: Callable[[Batch], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not max_work > 0:
            raise InputError(f"max_work must be above 0, not {max_work!r}")
        self.max_work, self.max_batch_work = max_work, max_batch_work
        self.on_batch = on_batch
        self._clock = clock
        self._shares = FairShares()
        self._jobs: list[Job] = []
        self._running: list[Job] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._time = BatchTime(max_batch_work)
        self._thread: threading.Thread | None = None
        self._closed = False
        self.busy_seconds = 0.0
        """How long batches have run, since it was made."""

    @property
    def waiting_seconds(self) -> float:
        """How long the work that waits or runs will take, at the speed of the last batches."""
        with self._changed:
            self._remove_cancelled()
            return sum(self._time.estimate(len(job.parts), job.work) for job in self._jobs)

    @property
    def waiting(self) -> float:
        """How much work waits."""
        with self._changed:
            return sum(job.work for job in self._jobs)

    def expected_wait(self, deadline: float, tenant: str = "") -> float:
        """Return how many seconds a new job would wait, at the speed of the last batches."""
        with self._changed:
            return self._expected_wait(deadline, tenant)

    def admit(self, deadline: float, tenant: str = "") -> None:
        """Raise OverloadedError where a job would wait too long for its deadline."""
        with self._changed:
            self._remove_cancelled()
            if self._waits_too_long(deadline, tenant):
                raise OverloadedError(self._expected_wait(deadline, tenant))

    def submit(self, parts: Sequence[Part], deadline: float, tenant: str = "") -> Job:
        """Queue a job.

        Its `result` gets `OverloadedError` where its turn does not come before the deadline,
        and `QueueTimeoutError` where it ends too late. Raises `OverloadedError` where too much
        work of its tenant waits, and where the wait would be too long for the deadline.
        """
        work = sum(part.work for part in parts)
        job = Job(tenant, deadline, deque(parts), work, next(self._numbers), self._clock())
        with self._changed:
            self._remove_cancelled()
            waiting = sum(job.work for job in self._jobs if job.tenant == tenant)
            full = waiting > 0 and waiting + work > self.max_work
            if self._closed or full or self._waits_too_long(deadline, tenant):
                raise OverloadedError(self._expected_wait(deadline, tenant))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="secondpass-queue", daemon=True
                )
                self._thread.start()
            self._shares.resume(tenant)
            self._jobs.append(job)
            self._changed.notify_all()
        return job

    def _expected_wait(self, deadline: float, tenant: str) -> float:
        waiting: dict[str, float] = {}
        for job in self._jobs:
            # Of its own tenant what goes before it; of others whatever has its turns meanwhile.
            if job.deadline <= deadline if job.tenant == tenant else job.deadline < math.inf:
                seconds = self._time.estimate(len(job.parts), job.work)
                waiting[job.tenant] = waiting.get(job.tenant, 0.0) + seconds
        own = waiting.get(tenant, 0.0)
        # While the tenant's own work is done, each other one gets as much, if it wants it.
        return sum(min(own, seconds) for seconds in waiting.values())

    def _waits_too_long(self, deadline: float, tenant: str) -> bool:
        left = deadline - self._clock()
        wait = self._expected_wait(deadline, tenant)
        return self._time.measured and wait > _MAX_WAIT_SHARE * left

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
                self._jobs = [job for job in self._jobs if job.parts]
                self._changed.notify_all()

    def _choose_batch(self) -> list[Job]:
        """Return the jobs whose next parts make the next batch."""
        chosen: list[Job] = []
        batch_work, batch_key = 0.0, None
        for job in sorted(self._jobs, key=self._turn):
            if self._drop_if_over(job):
                continue
            part = job.parts[0]
            key = None if part.batch_item is None else part.batch_item.key
            if not chosen:
                batch_key = key
            elif key != batch_key or batch_work + part.work > self.max_batch_work:
                continue
            job.started = self._clock() if job.started is None else job.started
            chosen.append(job)
            self._shares.charge(job.tenant, part.work)
            batch_work += part.work
            if batch_key is None:
                break
        return chosen

    def _turn(self, job: Job) -> tuple[bool, float, float, int]:
        """Return the sort key of a job: the first one is next."""
        time = self._shares.time(job.tenant)
        return (job.deadline == math.inf, time, job.deadline, job.number)

    def _drop_if_over(self, job: Job) -> bool:
        """Drop a job that was cancelled or is late; return whether it was dropped."""
        if job.result.cancelled():
            _drop(job)
            return True
        needed = 0.0
        if self._time.measured and job.started is None and len(self._jobs) > 1:
            # Started now, it would miss its deadline, and delay others for nothing.
            needed = self._time.estimate(1, job.parts[0].work)
        if self._clock() + needed >= job.deadline:
            wait = self._expected_wait(job.deadline, job.tenant)
            _drop(job)
            job.settle(job.timeout_error(wait))
            return True
        return False

    def _run_batch(self, jobs: Sequence[Job]) -> None:
        parts = [job.parts[0] for job in jobs]
        started = self._clock()
        try:
            results = _run_parts(parts)
        except BaseException as error:  # noqa: BLE001 - it is the waiting caller's to handle
            if len(jobs) > 1:
                # Each alone, so that only the job at fault fails.
                for job in jobs:
                    self._run_batch([job])
                return
            with self._changed:
                _drop(jobs[0])
            jobs[0].settle(error)
            return
        seconds = max(self._clock() - started, 1e-6)
        work = sum(part.work for part in parts)
        with self._changed:
            for job, result in zip(jobs, results, strict=True):
                job.done.append(result)
                job.work -= job.parts.popleft().work
            self._time.measure(work, seconds)
            self.busy_seconds += seconds
        if self.on_batch is not None:
            waited = max(started - job.submitted for job in jobs)
            self.on_batch(Batch(work, len(jobs), waited, seconds))
        for job in jobs:
            if not job.parts:
                job.settle(None)

    def _remove_cancelled(self) -> None:
        """Remove jobs that were cancelled, except those that are running."""
        self._jobs = [
            job for job in self._jobs if job in self._running or not job.result.cancelled()
        ]


def _drop(job: Job) -> None:
    job.work = 0.0
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
