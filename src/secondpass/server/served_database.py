"""A database of others that a server searches: opened when it can be reached, never written."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from secondpass.errors import InputError, MissingExtraError, RetrieverError, SecondpassError
from secondpass.index.search import Search
from secondpass.options import SearchOptions
from secondpass.retrieve.backends.database_url import redact
from secondpass.server.http_errors import HttpError

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.retrieve.embedder import Embedder
    from secondpass.types import Candidate, RerankResponse

_log = logging.getLogger("secondpass.server")
T = TypeVar("T")
PAUSE = 5.0
"""Seconds after a failure in which a database is not asked again: requests fail at once."""
_FAILURES = 3
"""How many searches in a row fail before it is not asked for a while."""
_WAIT = 2.0
"""Seconds that a request waits while another one opens the database."""


class Database:
    """One database by its URL; thread-safe.

    Opened at its first use. A database that is down costs few requests their time: while one
    opens it, others wait `_WAIT` seconds, and after a failure none asks for `PAUSE` seconds.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        embedder: Embedder,
        reranker: BaseReranker,
        rescorers: Mapping[str, BaseReranker] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.redacted = name, redact(url)
        self._url, self._clock = url, clock
        self._embedder, self._reranker, self._rescorers = embedder, reranker, rescorers or {}
        self._search: _WatchedSearch | None = None
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at: float | None = None
        self.problem: SecondpassError | None = None

    def open(self) -> Search:
        """Return the search of the database; raises HttpError (503) where it is down."""
        self.check()
        if not self._lock.acquire(timeout=_WAIT):
            raise self._unavailable("it is being opened")
        try:
            if self._search is None:
                # Another request may have tried in vain meanwhile.
                self.check()
                self._search = self._watch_open()
            return self._search
        finally:
            self._lock.release()

    def check(self) -> None:
        """Raise HttpError (503) shortly after a failure."""
        failed_at = self._failed_at
        if failed_at is not None and self._clock() - failed_at < PAUSE:
            raise self._unavailable()

    def start(self) -> None:
        """Open the database at the start of a server.

        One that cannot be reached is logged, and tried again by requests. Raises InputError and
        MissingExtraError for a URL that cannot work.
        """
        try:
            self.open()
        except HttpError as error:
            if isinstance(self.problem, InputError | MissingExtraError):
                raise self.problem from None
            fields = {"database": self.name, "url": self.redacted, "why": error.message}
            _log.warning("a database cannot be reached", extra={"fields": fields})

    def watch(self, call: Callable[[], T]) -> T:
        """Run a search, and record whether the database failed."""
        self.check()
        try:
            result = call()
        except RetrieverError as error:
            self._record(error)
            raise
        except InputError as error:
            if error.where != self.redacted:
                raise
            # Where the database is belongs into logs alone.
            raise type(error)(error.what, why=error.why, fix=error.fix) from error
        if self.problem is not None or self._failures:
            self._failures, self._failed_at, self.problem = 0, None, None
        return result

    def retry(self) -> None:
        """Open the database in a thread of its own, if its last failure is long enough ago."""
        failed_at = self._failed_at
        if self._search is not None or failed_at is None or self._lock.locked():
            return
        if self._clock() - failed_at >= PAUSE:
            threading.Thread(target=self._try_open, daemon=True).start()

    def close(self) -> None:
        """Close the connections; the next search opens them again."""
        with self._lock:
            if self._search is not None:
                self._search.close()
                self._search = None

    def _try_open(self) -> None:
        try:
            self.open()
        except HttpError as error:
            _log.debug("a database cannot be reached: %s", error.message)

    def _watch_open(self) -> _WatchedSearch:
        try:
            search = _WatchedSearch(self, self._url, self._reranker, embedder=self._embedder)
            search.use_models(self._rescorers)
        except SecondpassError as error:
            self._failures = _FAILURES
            self._record(error)
            raise self._unavailable() from error
        self._failures, self._failed_at, self.problem = 0, None, None
        return search

    def _record(self, error: SecondpassError) -> None:
        # A search that took too long says nothing of the next one.
        if isinstance(error, RetrieverError) and error.timeout and self._search is not None:
            return
        self.problem = error
        self._failures += 1
        if self._failures >= _FAILURES:
            self._failed_at = self._clock()

    def _unavailable(self, why: str | None = None) -> HttpError:
        problem = self.problem
        message = f"the database {self.name} cannot be searched: {why or 'it failed'}"
        if why is None and problem is not None:
            # Without where, which names a host: it is in the logs.
            public = SecondpassError(problem.what, why=problem.why, fix=problem.fix)
            message = f"{self.name}: {public}"
        return HttpError(503, "database", message, retry_after=PAUSE)


class _WatchedSearch(Search):
    """A search whose failures its `Database` records."""

    def __init__(self, database: Database, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._database = database

    def search(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> RerankResponse:
        return self._database.watch(partial(Search.search, self, query, **options))

    def first_pass(self, query: str, **options: Any) -> list[Candidate]:
        return self._database.watch(partial(Search.first_pass, self, query, **options))


def status_of(databases: Mapping[str, Database]) -> dict[str, str]:
    """Return "ok", or what is wrong, by the name of each database; starts new attempts."""
    found = {}
    for name, database in databases.items():
        database.retry()
        problem = database.problem
        found[name] = "ok" if problem is None else problem.what
    return found
