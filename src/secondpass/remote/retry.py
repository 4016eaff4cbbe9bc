"""Retries of requests to remote servers: which failures, how often, after how long."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from secondpass.errors import InputError, ProviderError

T = TypeVar("T")

RETRYABLE_STATUS = frozenset({408, 409, 425, 429})


def is_retryable(status: int, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether a request that failed may succeed if it is sent again.

    The header `x-should-retry` decides where it is present, else the status: 408, 409, 425,
    429 and all from 500 up.
    """
    header = "" if headers is None else headers.get("x-should-retry", "").strip().lower()
    if header in ("true", "false"):
        return header == "true"
    return status in RETRYABLE_STATUS or status >= 500


def backoff(attempt: int, first: float = 0.5, longest: float = 8.0) -> float:
    """Return the seconds to wait after failed attempt number `attempt`, from 0.

    Exponential: each wait is twice the last, up to `longest`, less up to a quarter by chance so
    that clients do not retry in step.
    """
    return float(min(longest, first * 2.0 ** min(attempt, 60)) * random.uniform(0.75, 1))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait, 0 or more; None if it asks for nothing.

    Reads `retry-after-ms`, and `retry-after` in both of its forms, seconds and a date
    (RFC 9110, 10.2.3).
    """
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * factor
        except ValueError:
            continue
        if 0 <= seconds < 1e9:
            return seconds
    try:
        then = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - (datetime.now(UTC) if now is None else now)).total_seconds())


@dataclass
class Deadline:
    """A moment until which everything must be done; `seconds` from now, None for never."""

    seconds: float | None
    _started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float | None:
        """Seconds left, 0 at least; None without a deadline."""
        if self.seconds is None:
            return None
        return max(0.0, self._started + self.seconds - time.monotonic())


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed request is sent again, and after how long.

    - `times`: retries after the first attempt, 0 or more.
    - `first`, `longest`: seconds before the first retry, and at most; see `backoff`. Where a
      server says how long to wait (Retry-After), that counts instead.
    - `max_retry_after`: where a server asks for more seconds than this, there is no retry: it
      is out of order, not busy.

    Raises `InputError` for anything else.
    """

    times: int = 2
    first: float = 0.5
    longest: float = 8.0
    max_retry_after: float = math.inf

    def __post_init__(self) -> None:
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 0:
            raise InputError(f"retries must be a whole number of 0 or more, not {self.times!r}")
        if not 0 <= self.first <= self.longest:
            raise InputError(f"first must be from 0 to {self.longest}, not {self.first!r}")

    def wait(
        self,
        attempt: int,
        headers: Mapping[str, str] | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt`, from 0.

        None where there is no other attempt: after `times` retries, where the server asks for
        too long a wait, and where the wait would last beyond the deadline.
        """
        if attempt >= self.times:
            return None
        seconds = None if headers is None else retry_after(headers)
        if seconds is None:
            seconds = backoff(attempt, self.first, self.longest)
        elif seconds > self.max_retry_after:
            return None
        left = None if deadline is None else deadline.left
        return seconds if left is None or seconds < left else None


class AttemptFailedError(Exception):
    """One attempt failed: the error to raise, and the response headers, if there are any."""

    def __init__(self, error: ProviderError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.error, self.headers = error, headers


async def retry(
    send: Callable[[], Awaitable[T]], policy: RetryPolicy, deadline: Deadline | None = None
) -> T:
    """Return the result of `send`, repeated while it raises a retryable `AttemptFailedError`.

    Raises the error of the last attempt.
    """
    attempt = 0
    while True:
        try:
            return await send()
        except AttemptFailedError as failed:
            error = failed.error
            wait = policy.wait(attempt, failed.headers, deadline=deadline)
        # Raised outside the handler: what is chained may hold the request with its key.
        if not error.retryable or wait is None:
            raise error
        await asyncio.sleep(wait)
        attempt += 1
