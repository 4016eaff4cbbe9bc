"""Which failures are worth another attempt, and when.

How long an answer may take, and how long to wait for another try.

How often a request to a provider is sent again.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from secondpass.errors import InputError, LLMError

RETRYABLE = frozenset({408, 409, 425, 429})


def is_retryable(status: int, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether a request that failed may succeed if it is sent again.

    The header `x-should-retry` decides where it is there, else: 408, 409, 425, 429 and
    all from 500 up.
    """
    said = "" if headers is None else headers.get("x-should-retry", "").strip().lower()
    if said in ("true", "false"):
        return said == "true"
    return status in RETRYABLE or status >= 500


def backoff(attempt: int, first: float = 0.5, longest: float = 8.0) -> float:
    """Return the seconds to wait after failed attempt number `attempt`, from 0.

    Each wait is twice the last, up to `longest`, less up to a quarter by chance so that
    clients do not march in step.
    """
    return float(min(longest, first * 2.0 ** min(attempt, 60)) * random.uniform(0.75, 1))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks to wait, 0 or more; None if it asks nothing.

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


# A server that asks for a longer pause than this is out of order, not busy.
_PATIENCE_SECONDS = 120.0


@dataclass
class Deadline:
    """A moment in time until which everything must be done; None of `seconds` is never."""

    seconds: float | None
    _started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left, 0 at least."""
        if self.seconds is None:
            return math.inf
        return max(0.0, self._started + self.seconds - time.monotonic())

    def check(self, where: str) -> None:
        """Raise `LLMError` if the time is over."""
        if self.left <= 0:
            raise LLMError(
                f"The language model did not answer within {self.seconds:g} s",
                where=where,
                fix="Raise `deadline`, or ask a faster model.",
            )


def pause(attempt: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait before the next try, or None for too long to wait.

    What the server asks for is obeyed up to two minutes; else it is `backoff`.
    """
    asked = retry_after(headers)
    if asked is None:
        return backoff(attempt)
    return asked if asked <= _PATIENCE_SECONDS else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed request is sent again, and after how long.

    - `times`: after the first attempt, 0 or more.
    - `first`, `longest`: seconds before the first repetition, and at most; see `backoff`.
      A server that says how long to wait (Retry-After) is obeyed instead.

    Raises `InputError` for anything else.
    """

    times: int = 2
    first: float = 0.5
    longest: float = 8.0

    def __post_init__(self) -> None:
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 0:
            raise InputError(f"retries must be a whole number of 0 or more, not {self.times!r}")
        if not 0 <= self.first <= self.longest:
            raise InputError(f"first must be from 0 to {self.longest}, not {self.first!r}")

    def wait(self, attempt: int, headers: Mapping[str, str] | None = None) -> float:
        """Return the seconds to wait after failed attempt number `attempt`, from 0."""
        asked = None if headers is None else retry_after(headers)
        return backoff(attempt, self.first, self.longest) if asked is None else asked
