"""How often a request to a provider is sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secondpass.errors import InputError
from secondpass.remote.retry import backoff, retry_after


@dataclass(frozen=True, slots=True)
class Retrying:
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
