"""Which failures are worth another attempt, and when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from secondpass.errors import InputError

RETRYABLE = frozenset({408, 409, 425, 429})


def retryable(status: int) -> bool:
    """Whether a status may be another one next time; other 4xx will not."""
    return status in RETRYABLE or status >= 500


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often a failed request is sent again, and after how long.

    - `times`: after the first attempt, 0 or more.
    - `first`, `longest`: seconds before the first repetition, and at most; each wait is
      twice the last, and up to a quarter less by chance so that clients do not march in
      step. A server that says how long to wait (Retry-After) is obeyed instead.

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
        if asked is not None:
            return asked
        return float(min(self.longest, self.first * 2**attempt) * random.uniform(0.75, 1))


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
