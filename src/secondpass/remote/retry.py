"""Which failures are worth another attempt, and when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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
