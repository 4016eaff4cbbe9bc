"""A circuit breaker: what failed again and again is left alone for a while."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Literal

from secondpass.errors import InputError
from secondpass.rerank.inputs import check_count, check_number


class Breaker:
    """Counts the failures of one stage; safe to use from several threads at once.

    - closed: calls pass. After `failures` in a row, at least 1, it opens.
    - open: no call passes for `pause` seconds, 0 or more.
    - half-open: one call passes to try. If it succeeds the breaker closes, if it fails the
      pause begins again; until then no other passes.

    `clock` is in seconds. After M. Nygard, Release It! (2007).
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        pause: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_count("failures", failures)
        seconds = check_number("pause", pause)
        if seconds is None or not 0 <= seconds < math.inf:
            raise InputError(f"pause must be a number of seconds, 0 or more, not {pause!r}")
        self.failures, self.pause = failures, seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._opened: float | None = None
        self._trying = False
        self._ticket = 0

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """What the next call would meet."""
        with self._lock:
            if self._opened is None:
                return "closed"
            return "half-open" if self._clock() - self._opened >= self.pause else "open"

    def admit(self) -> int | None:
        """Return a ticket if a call may pass now, else None.

        Each ticket is given back once, to `succeeded`, `failed` or `withdrawn`. One that
        was given before the breaker opened says nothing about what came after.
        """
        with self._lock:
            if self._opened is None:
                return self._ticket
            if self._trying or self._clock() - self._opened < self.pause:
                return None
            self._trying = True
            return self._ticket

    def succeeded(self, ticket: int) -> None:
        """Note that the call succeeded."""
        with self._lock:
            if ticket == self._ticket:
                self._failed, self._opened, self._trying = 0, None, False

    def failed(self, ticket: int) -> None:
        """Note that the call failed."""
        with self._lock:
            if ticket != self._ticket:
                return
            self._failed += 1
            if self._trying or self._failed >= self.failures:
                self._opened, self._trying = self._clock(), False
                self._ticket += 1

    def withdrawn(self, ticket: int) -> None:
        """Note that the call says nothing about the stage."""
        with self._lock:
            if ticket == self._ticket:
                self._trying = False
