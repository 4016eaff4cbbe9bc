"""A few connections to a database, made when needed, and once more when they drop."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, LifoQueue
from typing import Generic, TypeVar

from secondpass.errors import RetrieverError
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.sql_store import failed

C = TypeVar("C")
T = TypeVar("T")
MOST = 8
"""Connections at a time: as many as a retriever has threads."""


class ConnectionPool(Generic[C]):
    """Connections of any client library, for any number of threads.

    `connect` makes one, `disconnect` ends one. A read that fails with one of `dropped` is tried
    once more, on a connection that is new; `timed_out` tells those that took too long, which
    are not. `usable` says whether a connection that is kept can still be used. Errors of
    `errors` become RetrieverError, without secrets.
    """

    def __init__(
        self,
        url: DatabaseURL,
        connect: Callable[[], C],
        disconnect: Callable[[C], object],
        *,
        errors: tuple[type[Exception], ...],
        dropped: tuple[type[Exception], ...],
        timed_out: Callable[[Exception], bool],
        usable: Callable[[C], bool] = lambda _: True,
    ) -> None:
        self._url = url
        self._connect, self._disconnect, self._usable = connect, disconnect, usable
        self._errors, self._dropped, self._timed_out = errors, dropped, timed_out
        self._closed = False
        self._places: LifoQueue[C | None] = LifoQueue()
        for _ in range(MOST):
            self._places.put(None)

    def read(self, work: Callable[[C], T]) -> T:
        """Call a function with a connection and return what it does."""
        connection = self._places.get()
        try:
            if connection is not None and (self._closed or not self._usable(connection)):
                self._end(connection)
                connection = None
            for last in (False, True):
                try:
                    if connection is None:
                        connection = self._open()
                    return work(connection)
                except self._errors as error:
                    late = self._timed_out(error)
                    again = isinstance(error, self._dropped) and not last and not late
                    if isinstance(error, self._dropped) and connection is not None:
                        self._end(connection)
                        connection = None
                        # What dropped one has probably dropped those that are waiting too.
                        self._end_idle()
                    if not again:
                        raise failed(self._url, error, timeout=late) from error
            raise AssertionError
        finally:
            self._places.put(connection)

    def close(self) -> None:
        """End all connections, each once its read is over."""
        self._closed = True
        for connection in [self._places.get() for _ in range(MOST)]:
            if connection is not None:
                self._end(connection)
            self._places.put(None)

    def _open(self) -> C:
        if self._closed:
            raise RetrieverError("the database was closed", where=self._url.redacted)
        return self._connect()

    def _end(self, connection: C) -> None:
        try:
            self._disconnect(connection)
        except self._errors:
            # It is lost already.
            return

    def _end_idle(self) -> None:
        idle = []
        try:
            while True:
                idle.append(self._places.get_nowait())
        except Empty:
            pass
        for connection in idle:
            if connection is not None:
                self._end(connection)
            self._places.put(None)
