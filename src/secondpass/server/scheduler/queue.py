"""Work in front of a model: soonest deadline first, a batch at a time, bounded.

One thread runs the parts, since a model uses all its threads for one batch. Before each
batch the job whose deadline is soonest is chosen, so that a long job holds up no other for
longer than one batch (earliest deadline first; Liu and Layland, Journal of the ACM, 1973).
Parts of other jobs that can be done in the same run join it, in the order of their deadlines.

What waits in front of a model: jobs of parts, and why a job may end without a result.
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


class OverloadedError(SecondpassError):
    """There is more work waiting than may wait; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("The server is busy", fix=f"Try again in {retry_after:.0f} s.")
        self.retry_after = retry_after


class QueueTimeoutError(SecondpassError):
    """The time that a request was given is over."""


class ClientDisconnectedError(SecondpassError):
    """Nobody waits for the request any more."""


@dataclass(frozen=True, slots=True)
class Joint:
    """How parts of several jobs are done at once.

    Those whose `key` is equal can be: `run` takes the items of all, and returns a result for
    each.
    """

    key: Hashable
    item: Any
    run: Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a job: how much work it is, in any unit above 0, and what does it.

    `joint`: None for what is done alone.
    """

    work: float
    run: Callable[[], Any]
    joint: Joint | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What was done at once: how much work, how many jobs contributed, how long it took.

    `waited` is the longest that one of the jobs had waited; both times are in seconds.
    """

    work: float
    jobs: int
    waited: float
    seconds: float


@dataclass(slots=True, eq=False)
class Job:
    """Parts that are done one after the other; `result` has what each returned.

    `deadline`, `submitted` and `begun`, which is None before the first part is done, are on
    the clock of `time.monotonic`.
    """

    deadline: float
    parts: deque[Part]
    submitted: float = field(default_factory=time.monotonic)
    begun: float | None = None
    result: Future[list[Any]] = field(default_factory=Future)
    done: list[Any] = field(default_factory=list)

    @property
    def work(self) -> float:
        """How much work is left."""
        return sum(part.work for part in self.parts)

    def cancel(self) -> None:
        """Give up: what runs is finished, what waits is dropped."""
        self.result.cancel()

    def late(self, pause: float) -> SecondpassError:
        """Return why it was not done in time; `pause` is how long a new one would wait."""
        if self.begun is not None:
            return QueueTimeoutError("The request was not done in time")
        # It never had its turn: that is the server's load, not the request's size.
        return OverloadedError(pause)

    def settle(self, error: BaseException | None) -> None:
        """Give the caller the results, or the error."""
        # A caller that gives up at this moment has cancelled it already.
        if self.result.set_running_or_notify_cancel():
            if error is None:
                self.result.set_result(self.done)
            else:
                self.result.set_exception(error)


# The share of a new measurement in the work and in the time of a batch.
_LEARNING = 0.2
_FIRST_RATE = 1000.0
# The share of its time that a job may have to wait: the rest is for its own work, and for
# what is slower than of late.
_WAITING_SHARE = 0.5


class WorkQueue:
    """Runs the parts of jobs in one thread, which starts with the first job.

    `most_work` bounds what may wait; a job that is alone is taken however large it is.
    `most_at_once` bounds a batch to which several jobs contribute. `ran` is told of each
    batch. Safe to use from several threads at once.
    """

    def __init__(
        self,
        most_work: float,
        *,
        most_at_once: float = 0.0,
        ran: Callable[[Batch], None] | None = None,
    ) -> None:
        if not most_work > 0:
            raise InputError(f"the most work that may wait must be above 0, not {most_work!r}")
        self.most_work, self.most_at_once = most_work, most_at_once
        self.ran = ran
        self._jobs: list[tuple[float, int, Job]] = []
        self._running: list[Job] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._waiting = 0.0
        self._pace = (_FIRST_RATE, 1.0)
        self._measured = False
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> float:
        """How much work waits."""
        with self._changed:
            return self._waiting

    @property
    def pause(self) -> float:
        """How many seconds what waits will take, at the pace of late."""
        with self._changed:
            return self._pause()

    def admit(self, deadline: float) -> None:
        """Raise `OverloadedError` where a job with this deadline would be refused."""
        with self._changed:
            if self._jobs and self._hopeless(deadline):
                raise OverloadedError(self._pause())

    def submit(self, parts: Sequence[Part], deadline: float) -> Job:
        """Queue a job; `deadline` is on the clock of `time.monotonic`.

        Raises `OverloadedError` where too much waits, where what waits would, at the pace of
        late, take over half of the time until the deadline, or where the queue is closed.
        """
        job = Job(deadline, deque(parts))
        work = job.work
        with self._changed:
            self._purge()
            full = self._waiting + work > self.most_work
            if self._closed or (self._jobs and (full or self._hopeless(deadline))):
                raise OverloadedError(self._pause())
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
        # Of sums: a mean of rates would be that of the easiest batches.
        work, seconds = self._pace
        return work / seconds

    def _pause(self) -> float:
        return self._waiting / self._rate

    def _hopeless(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        return self._measured and self._pause() > _WAITING_SHARE * left

    def close(self, seconds: float) -> bool:
        """Take no more jobs and wait for those there are; return whether all were done."""
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
                self._running = self._chosen()
            if self._running:
                self._do(self._running)
            with self._changed:
                self._running = []
                self._jobs = [entry for entry in self._jobs if entry[2].parts]
                heapq.heapify(self._jobs)
                self._changed.notify_all()

    def _chosen(self) -> list[Job]:
        """Return the jobs whose next parts make the next batch; drop those that are over."""
        chosen: list[Job] = []
        work, key = 0.0, None
        for _, _, job in sorted(self._jobs):
            if self._over(job):
                continue
            part = job.parts[0]
            mine = None if part.joint is None else part.joint.key
            if not chosen:
                key = mine
            elif mine != key or work + part.work > self.most_at_once:
                continue
            job.begun = time.monotonic() if job.begun is None else job.begun
            chosen.append(job)
            work += part.work
            if key is None:
                break
        return chosen

    def _over(self, job: Job) -> bool:
        """Drop all of a job that nobody waits for, or that is late; return whether it was."""
        if job.result.cancelled():
            self._drop(job)
            return True
        needed = 0.0
        if self._measured and job.begun is None and len(self._jobs) > 1:
            # Begun now, it would not be done in time, and others would wait for nothing.
            needed = job.parts[0].work / self._rate
        if time.monotonic() + needed >= job.deadline:
            pause = self._pause()
            self._drop(job)
            job.settle(job.late(pause))
            return True
        return False

    def _do(self, jobs: Sequence[Job]) -> None:
        parts = [job.parts[0] for job in jobs]
        started = time.monotonic()
        try:
            results = _results(parts)
        except BaseException as error:  # noqa: BLE001 - it is the waiting caller's to handle
            if len(jobs) > 1:
                # Whose fault it was shows when each is done alone.
                for job in jobs:
                    self._do([job])
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
            if self._measured:
                before = self._pace
                keep = 1 - _LEARNING
                self._pace = (
                    keep * before[0] + _LEARNING * work,
                    keep * before[1] + _LEARNING * seconds,
                )
            else:
                self._pace, self._measured = (work, seconds), True
        if self.ran is not None:
            waited = max(started - job.submitted for job in jobs)
            self.ran(Batch(work, len(jobs), waited, seconds))
        for job in jobs:
            if not job.parts:
                job.settle(None)

    def _purge(self) -> None:
        """Free the places of callers that have given up; the running jobs are let be."""
        for entry in [e for e in self._jobs if e[2].result.cancelled()]:
            if entry[2] not in self._running:
                self._waiting -= entry[2].work
                self._jobs.remove(entry)
        heapq.heapify(self._jobs)

    def _drop(self, job: Job) -> None:
        self._waiting -= job.work
        job.parts.clear()


def _results(parts: Sequence[Part]) -> Sequence[Any]:
    joint = parts[0].joint
    if joint is None or len(parts) == 1:
        return [parts[0].run()]
    results = joint.run([part.joint.item for part in parts if part.joint is not None])
    if len(results) != len(parts):
        raise ValueError(f"{len(results)} results of {len(parts)} parts")
    return results
