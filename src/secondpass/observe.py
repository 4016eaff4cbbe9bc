"""Telling whoever watches when a stage of a search begins and ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

StageAttributes = dict[str, str | int | float | bool | None]
"""What is known of a stage: numbers and names, and the query, which watchers may not keep."""


class Observer(Protocol):
    """Sees the stages of one request, from any of its threads."""

    def stage(self, name: str, told: StageAttributes) -> AbstractContextManager[object]:
        """Return what surrounds a stage; `told` may have more in it at the end."""

    def past(self, name: str, began: float, ended: float) -> None:
        """See a stage that is over; both ends are on the clock of `time.monotonic`."""


_watcher: ContextVar[Observer | None] = ContextVar("watcher", default=None)


@contextmanager
def use_observer(watcher: Observer) -> Iterator[None]:
    """Let a watcher see what happens inside, also in threads that have this context."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def stage(name: str, **told: str | int | float | bool | None) -> Iterator[StageAttributes]:
    """Surround a stage; yields a mapping for what is known of it only at its end."""
    watcher = _watcher.get()
    if watcher is None:
        yield told
        return
    with watcher.stage(name, told):
        yield told


def record_wait(name: str, began: float, ended: float | None) -> None:
    """Tell of a wait; it lasts until now where it has no end."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher.past(name, began, time.monotonic() if ended is None else ended)
