"""How long an answer may take, and how long to wait for another try."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from secondpass.errors import LLMError
from secondpass.remote.retry import backoff, retry_after

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
