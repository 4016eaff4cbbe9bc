"""Which failures are worth another try, and after how long."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from secondpass.errors import LLMError

_AGAIN = frozenset({408, 409, 425, 429})
_FIRST_SECONDS, _MOST_SECONDS = 0.5, 8.0

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


def is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether a failed request may succeed if it is sent again.

    The header `x-should-retry` decides where it is there, else: 408, 409, 425, 429 and
    all from 500 up.
    """
    said = headers.get("x-should-retry", "").lower()
    if said in ("true", "false"):
        return said == "true"
    return status in _AGAIN or status >= 500


def pause(attempt: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait before the next try, or None for too long to wait.

    The server's `retry-after-ms` and `retry-after` (seconds or a date) are obeyed up to two
    minutes; without them it is half a second, doubled with each `attempt` (from 0) up to 8,
    less up to a quarter by chance, so that many callers do not come back at once.
    """
    asked = _asked(headers)
    if asked is not None:
        return max(0.0, asked) if asked <= _PATIENCE_SECONDS else None
    longest = min(_MOST_SECONDS, _FIRST_SECONDS * 2.0**attempt)
    return longest * (1 - random.random() / 4)


def _asked(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            seconds = _until(value)
        if math.isfinite(seconds):
            return seconds
    return None


def _until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return math.nan
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
