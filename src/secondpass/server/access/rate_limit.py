"""How often a key may ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from secondpass.server.http_errors import HttpError

_MINUTE = 60.0


class RateLimits:
    """Requests a minute, for each key apart.

    A bucket holds as many requests as may come in a minute and fills steadily (token bucket;
    Turner, IEEE Communications Magazine, 1986). `clock` is in seconds. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str, per_minute: int) -> None:
        """Count a request; raises Problem 429, with when to come back, for one too many."""
        with self._lock:
            now = self._clock()
            left, since = self._buckets.get(key, (float(per_minute), now))
            left = min(float(per_minute), left + (now - since) * per_minute / _MINUTE)
            if left < 1:
                self._buckets[key] = (left, now)
                wait = (1 - left) * _MINUTE / per_minute
                raise HttpError(
                    429,
                    "rate",
                    f"this key may ask {per_minute} times a minute",
                    retry_after=wait,
                )
            self._buckets[key] = (left - 1, now)
