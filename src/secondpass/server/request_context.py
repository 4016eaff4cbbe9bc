"""What is known of the request that is being answered, for logs, counts and traces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondpass.server.access.api_keys import KeyEntry
    from secondpass.server.exchange import Exchange


@dataclass(slots=True)
class Seen:
    """One request from its headers to the last byte of its answer.

    - `status` is 0 and `first_byte`, in seconds, None before the answer begins.
    - `problem`: the kind of what went wrong; `caller`: who asks, also where it may not.
    - `exchange`: None where no dialect answers.
    - `trace`: the id of its trace, where traces are made.
    """

    id: str
    method: str
    path: str
    status: int = 0
    first_byte: float | None = None
    problem: str | None = None
    caller: KeyEntry | None = None
    exchange: Exchange | None = None
    trace: str | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long it has taken up to now."""
        return time.perf_counter() - self.started


_seen: ContextVar[Seen | None] = ContextVar("seen", default=None)


def current() -> Seen | None:
    """Return the request that is being answered here, also in its threads."""
    return _seen.get()


@contextmanager
def answering_for(seen: Seen) -> Iterator[None]:
    """Let `current` return this request inside."""
    token = _seen.set(seen)
    try:
        yield
    finally:
        _seen.reset(token)
