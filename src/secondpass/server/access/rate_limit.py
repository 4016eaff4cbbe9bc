"""Rate limits of API keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from secondpass.server.http_errors import HttpError

_MINUTE = 60.0


class RateLimits:
    """Requests a minute of each key, by a token bucket.

    A bucket holds as many requests as may come in a minute and fills steadily (Turner, IEEE
    Communications Magazine, 1986). `clock` is in seconds. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str, per_minute: int) -> None:
        """Count a request; raises HttpError (429), with when to retry, for one too many."""
        with self._lock:
            now = self._clock()
            tokens, updated = self._buckets.get(key, (float(per_minute), now))
            tokens = min(float(per_minute), tokens + (now - updated) * per_minute / _MINUTE)
            if tokens < 1:
                self._buckets[key] = (tokens, now)
                wait = (1 - tokens) * _MINUTE / per_minute
                raise HttpError(
                    429,
                    "rate",
                    f"this key may ask {per_minute} times a minute",
                    retry_after=wait,
                )
            self._buckets[key] = (tokens - 1, now)
