"""How often a public endpoint may be asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from secondpass.server.cloudflare.public_form import RateLimit
from secondpass.server.http_errors import Problem

_REQUESTS, _PERIOD = 120, 60_000


@dataclass(slots=True)
class _Window:
    start: float = 0.0
    count: int = 0
    moments: deque[float] = field(default_factory=deque)


class Rates:
    """Requests a period, for each endpoint apart; `clock` is in seconds. Thread-safe.

    A fixed period begins with its first request; a sliding one ends at every moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str, limit: RateLimit) -> None:
        """Count a request; raises Problem 429, with when to come back, for one too many."""
        most = limit.get("requests", _REQUESTS)
        period = limit.get("period_ms", _PERIOD) / 1000
        sliding = limit.get("technique") == "sliding"
        with self._lock:
            now, window = self._clock(), self._windows.setdefault(endpoint, _Window())
            wait = self._slid(window, now, most, period) if sliding else None
            wait = wait if sliding else self._fixed(window, now, most, period)
        if wait is not None:
            raise Problem(429, "rate", "too many requests", retry_after=wait)

    def _fixed(self, window: _Window, now: float, most: int, period: float) -> float | None:
        if not window.count or now >= window.start + period:
            window.start, window.count = now, 0
        if window.count >= most:
            return window.start + period - now
        window.count += 1
        return None

    def _slid(self, window: _Window, now: float, most: int, period: float) -> float | None:
        while window.moments and window.moments[0] <= now - period:
            window.moments.popleft()
        if len(window.moments) >= most:
            return window.moments[0] + period - now
        window.moments.append(now)
        return None
