"""Tracing hooks around the stages of a search."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol

StageAttributes = dict[str, str | int | float | bool | None]
"""What is known of a stage: numbers, names and the query, which observers must not store."""


class Observer(Protocol):
    """Receives the stages of one request, from any of its threads."""

    def stage(
        self, name: str, attributes: StageAttributes, /
    ) -> AbstractContextManager[object]:
        """Return a context manager around a stage; `attributes` may grow until its end."""

    def past(self, name: str, began: float, ended: float, /) -> None:
        """Receive a stage that is over; both times are of `time.monotonic`, in seconds."""


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def use_observer(observer: Observer) -> Iterator[None]:
    """Report the stages inside the block to an observer, also from threads with its context."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def stage(
    name: str, **attributes: str | int | float | bool | None
) -> Iterator[StageAttributes]:
    """Report a stage; yields a mapping for attributes that are known only at its end."""
    observer = _observer.get()
    if observer is None:
        yield attributes
        return
    with observer.stage(name, attributes):
        yield attributes


def record_wait(name: str, began: float, ended: float | None) -> None:
    """Report a wait as a stage; without an end it lasts until now."""
    observer = _observer.get()
    if observer is not None:
        observer.past(name, began, time.monotonic() if ended is None else ended)
