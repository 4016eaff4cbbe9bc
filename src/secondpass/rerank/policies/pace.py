"""How long a candidate takes, learned from what was timed."""

from __future__ import annotations

import threading

FIRST, MOST = 4, 64
"""Candidates of the first batch, whose cost nobody knows, and of the largest."""

# The weight of the last batch: high, because a machine's load and the length of texts vary.
_LAST = 0.5


class Pace:
    """Milliseconds a candidate takes, as a moving average; safe to use from several threads."""

    def __init__(self) -> None:
        self._cost: float | None = None
        self._lock = threading.Lock()

    @property
    def cost(self) -> float | None:
        """Milliseconds a candidate, or None before the first batch."""
        return self._cost

    def learn(self, candidates: int, milliseconds: float, *, first: bool) -> None:
        """Count a batch of at least one candidate.

        The first of a query also pays for the query: it counts only where it was cheaper
        than expected, or nothing was.
        """
        seen = milliseconds / candidates
        with self._lock:
            known = self._cost
            if known is None:
                self._cost = seen
            elif not first or seen < known:
                self._cost = _LAST * seen + (1 - _LAST) * known

    def batch(self, left_ms: float, *, first: bool) -> int:
        """Return how many candidates to score next, 0 to stop.

        A batch is meant to take half of the time that is left, so that what it takes more
        than that seldom reaches the end; the first is small and never 0.
        """
        if self._cost is None:
            return FIRST
        fits = int(min(left_ms / max(self._cost, 1e-6), 2 * MOST)) if left_ms > 0 else 0
        half = fits if fits <= FIRST else max(FIRST, fits // 2)
        return max(1, min(FIRST, half)) if first else min(MOST, half)
