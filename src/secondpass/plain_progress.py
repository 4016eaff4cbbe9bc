"""Progress as plain lines, for a standard error that is a file or a pipe."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

BEGIN_AFTER = 1.0
"""Seconds before a stage says that it began; shorter stages write nothing."""

EVERY = 10.0
"""Seconds between two lines about the same stage."""


def is_terminal() -> bool:
    """Return whether standard error can show a progress bar that moves."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class PlainProgress:
    """Writes a line when a stage begins, every ten seconds, and when it ends.

    - `unit`: what is counted, such as "documents".
    - `begin_after`, `every`: seconds, see `BEGIN_AFTER` and `EVERY`.

    Rate and time left are those of the current stage. Thread-safe.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        unit: str = "",
        begin_after: float = BEGIN_AFTER,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._clock = write, clock
        self._unit = f" {unit}" if unit else ""
        self._begin_after, self._every = begin_after, every
        self._lock = threading.Lock()
        self._stage: str | None = None
        self._started = self._last_line = 0.0
        self._first = self._done = 0
        self._total: int | None = None
        self._begun = False

    def update(self, stage: str, done: int, total: int | None) -> None:
        """Record how much of a stage is done; another stage ends the last one."""
        with self._lock:
            if stage != self._stage:
                self._end("finished")
                self._stage, self._started, self._begun = stage, self._clock(), False
                self._first = done
            self._done, self._total = done, total
            self._tick()

    def tick(self) -> None:
        """Write a line if one is due."""
        with self._lock:
            self._tick()

    def close(self, *, failed: bool = False) -> None:
        """End the last stage."""
        with self._lock:
            self._end("stopped" if failed else "finished")
            self._stage = None

    def _tick(self) -> None:
        if self._stage is None:
            return
        now = self._clock()
        if not self._begun:
            if now - self._started < self._begin_after:
                return
            self._begun, self._last_line = True, self._started
            size = "" if self._total is None else f", {self._total:,}{self._unit}"
            self._write(f"{self._stage}: started{size}")
        if now - self._last_line >= self._every:
            self._last_line = now
            self._write(f"{self._stage}: {self._describe(now)}")

    def _end(self, how: str) -> None:
        if self._stage is None or not self._begun:
            return
        seconds = self._clock() - self._started
        if self._total is not None and self._done < self._total:
            # Also a stage that goes on later, such as training around a validation.
            count = f", {self._done:,} of {self._total:,}{self._unit}"
            how = "left" if how == "finished" else how
        else:
            count = f", {self._done:,}{self._unit}" if self._done else ""
        self._write(f"{self._stage}: {how}{count}, after {format_seconds(seconds)}")

    def _describe(self, now: float) -> str:
        seconds = now - self._started
        rate = (self._done - self._first) / seconds if seconds > 0 else 0.0
        of = "" if self._total is None else f" of {self._total:,}"
        counted = self._done > 0 or self._total is not None
        parts = [f"{self._done:,}{of}{self._unit}"] if counted else []
        parts.append(f"{format_seconds(seconds)} so far")
        if rate > 0:
            parts.append(
                f"{rate:,.1f} per second" if rate >= 0.1 else f"{1 / rate:,.0f} s each"
            )
            if self._total is not None:
                left = max(0, self._total - self._done) / rate
                parts.append(f"about {format_seconds(left)} left")
        return ", ".join(parts)


def format_seconds(seconds: float) -> str:
    """Return a duration, as in "8 s", "2 min 5 s" or "1 h 3 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def plain_progress(
    *,
    unit: str = "",
    begin_after: float | None = None,
    every: float | None = None,
    write: Callable[[str], None] | None = None,
) -> Iterator[PlainProgress]:
    """Yield progress that writes also while nothing calls it; by default to standard error."""
    begin_after = BEGIN_AFTER if begin_after is None else begin_after
    every = EVERY if every is None else every
    write = write_line if write is None else write
    progress = PlainProgress(write, unit=unit, begin_after=begin_after, every=every)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(min(1.0, begin_after, every)):
            progress.tick()

    thread = threading.Thread(target=watch, name="secondpass-progress", daemon=True)
    thread.start()
    failed = True
    try:
        yield progress
        failed = False
    finally:
        stop.set()
        thread.join()
        progress.close(failed=failed)


def write_line(line: str) -> None:
    """Write a line to standard error, if it is still open."""
    # Progress must not end the work: the other end of the pipe may be closed.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
