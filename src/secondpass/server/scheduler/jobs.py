"""What waits in front of a model: jobs of parts, and why a job may end without a result."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import SecondpassError


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
            return LateError("The request was not done in time")
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
