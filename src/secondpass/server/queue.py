"""Work in front of a model: soonest deadline first, a part at a time, bounded.

One thread runs the parts, since a model uses all its threads for one batch. After each part
the job whose deadline is soonest goes on, so that a long job holds up no other for longer
than one part (earliest deadline first; Liu and Layland, Journal of the ACM, 1973).
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import InputError, SecondpassError

# The share of a new measurement in the work done per second.
_LEARNING = 0.2
_FIRST_RATE = 1000.0


class OverloadedError(SecondpassError):
    """There is more work waiting than may wait; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("The server is busy", fix=f"Try again in {retry_after:.0f} s.")
        self.retry_after = retry_after


class LateError(SecondpassError):
    """The time that a request was given is over."""


class GoneError(SecondpassError):
    """Nobody waits for the request any more."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a job: how much work it is, in any unit above 0, and what does it."""

    work: float
    run: Callable[[], Any]


@dataclass(slots=True)
class Job:
    """Parts that are done one after the other; `result` has what each returned."""

    deadline: float
    parts: deque[Part]
    result: Future[list[Any]] = field(default_factory=Future)
    done: list[Any] = field(default_factory=list)

    @property
    def work(self) -> float:
        """How much work is left."""
        return sum(part.work for part in self.parts)

    def cancel(self) -> None:
        """Give up: what runs is finished, what waits is dropped."""
        self.result.cancel()


class WorkQueue:
    """Runs the parts of jobs in one thread, which starts with the first job.

    `most_work` bounds what may wait; a job that is alone is taken however large it is.
    Safe to use from several threads at once.
    """

    def __init__(self, most_work: float) -> None:
        if not most_work > 0:
            raise InputError(f"the most work that may wait must be above 0, not {most_work!r}")
        self.most_work = most_work
        self._jobs: list[tuple[float, int, Job]] = []
        self._running: Job | None = None
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._waiting = 0.0
        self._rate = _FIRST_RATE
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> float:
        """How much work waits."""
        with self._changed:
            return self._waiting

    def submit(self, parts: Sequence[Part], deadline: float) -> Job:
        """Queue a job; `deadline` is on the clock of `time.monotonic`.

        Raises `OverloadedError` where too much waits, or where the queue is closed.
        """
        job = Job(deadline, deque(parts))
        work = job.work
        with self._changed:
            self._purge()
            if self._closed or (self._jobs and self._waiting + work > self.most_work):
                raise OverloadedError(self._waiting / self._rate)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="secondpass-queue", daemon=True
                )
                self._thread.start()
            self._waiting += work
            heapq.heappush(self._jobs, (deadline, next(self._order), job))
            self._changed.notify_all()
        return job

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
                _, _, job = self._jobs[0]
                self._running = job
            part = self._next(job)
            if part is not None:
                self._do(job, part)
            with self._changed:
                # Another may be the first by now, so this one is not simply popped.
                self._running = None
                if not job.parts:
                    self._jobs.remove(next(e for e in self._jobs if e[2] is job))
                    heapq.heapify(self._jobs)
                    self._changed.notify_all()

    def _next(self, job: Job) -> Part | None:
        """Return the part to do; drop all of a job that nobody waits for, or that is late."""
        if job.result.cancelled():
            self._drop(job)
            return None
        if time.monotonic() >= job.deadline:
            self._drop(job)
            self._settle(job, LateError("The request was not done in time"))
            return None
        return job.parts[0]

    def _do(self, job: Job, part: Part) -> None:
        started = time.monotonic()
        try:
            job.done.append(part.run())
        except BaseException as error:  # noqa: BLE001 - it is the waiting caller's to handle
            self._drop(job)
            self._settle(job, error)
            return
        seconds = max(time.monotonic() - started, 1e-6)
        with self._changed:
            job.parts.popleft()
            self._waiting -= part.work
            self._rate += _LEARNING * (part.work / seconds - self._rate)
        if not job.parts:
            self._settle(job, None)

    def _purge(self) -> None:
        """Free the places of callers that have given up; the running job is let be."""
        for entry in [e for e in self._jobs if e[2].result.cancelled()]:
            if entry[2] is not self._running:
                self._waiting -= entry[2].work
                self._jobs.remove(entry)
        heapq.heapify(self._jobs)

    def _drop(self, job: Job) -> None:
        with self._changed:
            self._waiting -= job.work
            job.parts.clear()

    def _settle(self, job: Job, error: BaseException | None) -> None:
        # A caller that gives up at this moment has cancelled it already.
        if job.result.set_running_or_notify_cancel():
            if error is None:
                job.result.set_result(job.done)
            else:
                job.result.set_exception(error)
