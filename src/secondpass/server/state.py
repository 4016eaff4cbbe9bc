"""The state of a server: its models, indexes and language model, its queue and its threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack

from secondpass.composition import Composer, cache_stats
from secondpass.errors import SecondpassError
from secondpass.options import RerankOptions
from secondpass.rerank.base import BaseReranker
from secondpass.reranker import Reranker
from secondpass.server.access.api_keys import TENANT
from secondpass.server.http_errors import HttpError, to_http_error
from secondpass.server.scheduler.queue import OverloadedError, WorkQueue
from secondpass.server.scheduler.scheduled_models import (
    TOKENS_AT_ONCE,
    TOKENS_WITH_EXITS,
    ScheduledReranker,
    Ticket,
    check_ticket,
    use_ticket,
)
from secondpass.server.settings import ServerSettings
from secondpass.types import RerankResponse

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from secondpass.index.storage.store import RemoteStore
    from secondpass.llm import LLM
    from secondpass.rerank.policies.score_cache import CacheStats
    from secondpass.retrieve.embedder import Embedder
    from secondpass.server.index_catalog import IndexCatalog, IndexKey, ServedIndex
    from secondpass.server.served_database import Database

T = TypeVar("T")
# A request that waits for the queue holds a thread, which only sleeps.
MAX_CONCURRENT_REQUESTS = 160
# A tenant may hold this many times the threads that are free: 128 where it is alone. So there
# are always some for the next one (dynamic thresholds; Choudhury and Hahne, IEEE/ACM
# Transactions on Networking, 1998).
_THREADS_PER_FREE = 4
READ_THREADS = 8
"""How many threads read indexes for clients of Weaviate: Arrow keeps memory for each."""
EMBEDDER = "bundled-embedder"
"""The name of the embedding model."""


class Background(Protocol):
    """Work beside the requests, from when the models are loaded until the server stops."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Stop, in a state from which the next start can continue."""


class Elsewhere(Protocol):
    """Indexes that other processes search for this one; with metrics of its own."""

    @property
    def metrics(self) -> Collector:
        """What is measured of the other processes."""

    def open(
        self, state: ServerState, place: str | Path, key: IndexKey, embedder: Embedder
    ) -> ServedIndex:
        """Return what is served of the index at a place, searched with the state's models."""

    def close(self) -> None:
        """Release the connections."""


class ServerState:
    """What all requests of a server share.

    Rerankers that run in this process are queued; those of a provider are called at once, as
    the provider's own limits apply. `llm` is the one language model of all dialects: None
    before `load`, and where the settings name none. `elsewhere`: what searches the indexes of
    the settings, where this process does not.
    """

    def __init__(self, settings: ServerSettings, elsewhere: Elsewhere | None = None) -> None:
        self.settings = settings
        self.elsewhere = elsewhere
        self.queue = WorkQueue(settings.most_waiting, max_batch_work=TOKENS_AT_ONCE)
        self.ready = False
        self._active: Counter[str] = Counter()
        self.background: list[Background] = []
        self._models: dict[str, BaseReranker] = {}
        self._composer = Composer()
        self._catalog: IndexCatalog | None = None
        self._embedder: Embedder | None = None
        self._embedder_lock = threading.Lock()
        self.llm: LLM | None = None
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS, "secondpass-request")
        self._readers = ThreadPoolExecutor(READ_THREADS, "secondpass-reading")

    @property
    def models(self) -> list[str]:
        """The names of the rerankers, the default first."""
        return list(self.settings.models)

    def loaded(self, name: str) -> bool:
        """Return whether a reranker can be used."""
        return self.ready and name in self._models

    def loaded_model(self, name: str) -> BaseReranker:
        """Return the reranker of exactly this name, also while others are loaded."""
        return self._models[name]

    @property
    def active_requests(self) -> int:
        """How many requests hold a thread."""
        return self._active.total()

    @property
    def rescorers(self) -> Mapping[str, BaseReranker]:
        """The rerankers that a request can name to rescore a search, by name."""
        return {name: self._models[name] for name in self.settings.loaded_models}

    @property
    def default_rescorers(self) -> Mapping[str, BaseReranker]:
        """What rescores searches where a request does not say, by its name; {} for nothing."""
        name = self.settings.rescorer
        return {} if name is None else {name: self._models[name]}

    @property
    def default_model(self) -> BaseReranker:
        """The backend of the default reranker, for what it says of itself."""
        return self._models[self.models[0]].base

    def load(self) -> None:
        """Load all models and use each once, so that the first request is no slower.

        Raises what loading a model raises. Does nothing the second time.
        """
        if self.ready:
            return
        for name in self.settings.loaded_models:
            loading: Any = {
                "early_exit": self.settings.exits,
                "precision": self.settings.precision,
                "calibration_pairs": self.settings.calibration_pairs,
            }
            if name not in self.settings.models:
                loading = {}
            reranker = Reranker(name, threads=self.settings.threads, **loading)
            if not reranker.base.runs_here:
                self._models[name] = self._cached(reranker)
                continue
            reranker.rerank("warm", ["up"])
            scheduled = ScheduledReranker(
                reranker,
                self.queue,
                # A model that stops early compares the candidates of a part.
                tokens_at_once=TOKENS_WITH_EXITS if self.settings.exits else TOKENS_AT_ONCE,
            )
            # What is cached does not wait in the queue.
            self._models[name] = self._cached(scheduled)
        if self.settings.llm is not None:
            from secondpass.llm import load_llm

            self.llm = load_llm(self.settings.llm)
        settings = self.settings
        if settings.indexes or settings.databases or settings.data is not None:
            self._catalog = self._open_catalog()
        self.ready = True
        for worker in self.background:
            worker.start()

    def cache_stats(self) -> dict[str, CacheStats]:
        """Return hits, misses and failures of the score caches, by the name of the model."""
        stats = {name: cache_stats(reranker) for name, reranker in self._models.items()}
        return {name: found for name, found in stats.items() if found is not None}

    def _cached(self, reranker: BaseReranker) -> BaseReranker:
        """Return a reranker with the cache of the settings, where its scores can be cached."""
        if self.settings.cache is None or reranker.identity is None:
            return reranker
        return self._composer.compose(reranker, {"cache": self.settings.cache})

    @property
    def has_catalog(self) -> bool:
        """Whether this server has indexes, or clients may create some."""
        return self._catalog is not None

    @property
    def catalog(self) -> IndexCatalog:
        """The indexes; raises HttpError: 503 while they are loaded, 404 if there are none."""
        self.check_ready()
        if self._catalog is None:
            raise HttpError(
                404, "no index", "this server was started without --index, --over and --data"
            )
        return self._catalog

    @property
    def databases(self) -> dict[str, Database]:
        """The databases that are searched, by name; {} before they are opened."""
        return {} if self._catalog is None else self._catalog.databases

    @property
    def remote_indexes(self) -> dict[str, RemoteStore]:
        """The stores of indexes in object storage, by name; {} before they are opened."""
        return {} if self._catalog is None else self._catalog.remote

    @property
    def index_statuses(self) -> dict[str, Mapping[str, Any]]:
        """What `/ready` says of indexes, by name; {} before they are opened."""
        return {} if self._catalog is None else self._catalog.statuses

    def _open_catalog(self) -> IndexCatalog:
        from secondpass.server.index_catalog import IndexCatalog

        embedder, elsewhere = self.embedder(), self.elsewhere

        def open_elsewhere(key: IndexKey, place: str | Path) -> ServedIndex:
            assert elsewhere is not None
            return elsewhere.open(self, place, key, embedder)

        catalog = IndexCatalog(
            self.settings.data,
            self.settings.indexes,
            self.settings.databases,
            embedder=embedder,
            reranker=self._models[self.models[0]],
            rescorers=self.default_rescorers,
            queue=self.queue,
            open_served=None if elsewhere is None else open_elsewhere,
        )
        # Opened now, so that an index that cannot be opened is an error at the start.
        for name in self.settings.indexes:
            _ = catalog.find(TENANT, name).source
        for database in catalog.databases.values():
            database.start()
        return catalog

    def embedder(self) -> Embedder:
        """Return the embedder, loaded when it is first needed; blocks."""
        from secondpass.retrieve.embedder import Embedder

        with self._embedder_lock:
            if self._embedder is None:
                self._embedder = Embedder()
            return self._embedder

    def close(self) -> bool:
        """Take no more requests and finish those under way; return whether that was in time."""
        self.ready = False
        for worker in self.background:
            worker.stop()
        drained = self.queue.close(self.settings.drain)
        if self._catalog is not None:
            self._catalog.close()
        if self.elsewhere is not None:
            self.elsewhere.close()
        if self.llm is not None:
            self.llm.close()
        self._composer.close()
        for threads in (self._threads, self._readers):
            threads.shutdown(wait=False, cancel_futures=True)
        return drained

    def ticket(self, timeout: float | None = None, tenant: str = TENANT) -> Ticket:
        """Return the ticket of one request, whose timeout, in seconds, starts now."""
        seconds = self.settings.timeout if timeout is None else timeout
        return Ticket(time.monotonic() + seconds, tenant)

    def admit(self, ticket: Ticket) -> None:
        """Raise HttpError (429) for a request that would wait too long in the queue.

        Called before its work begins, so that no first pass is run for nothing.
        """
        try:
            self.queue.admit(ticket.deadline, ticket.tenant)
        except OverloadedError as error:
            raise to_http_error(error) from error

    async def run(self, ticket: Ticket, function: Callable[[], T]) -> T:
        """Run a blocking function in a worker thread; what it queues has the ticket's deadline.

        Raises HttpError for the errors of the package.
        """
        with self._count_request(ticket.tenant), use_ticket(ticket):
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._threads, context.run, function)
            try:
                return await work
            except SecondpassError as error:
                raise to_http_error(error) from error

    def submit_read(self, function: Callable[[], T]) -> Future[T]:
        """Run a function that reads an index in one of the few threads for that.

        See `wait_for` for how to wait for it.
        """

        def run() -> T:
            check_ticket()
            return function()

        return self._readers.submit(contextvars.copy_context().run, run)

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        model: str | None = None,
        **options: Unpack[RerankOptions],
    ) -> RerankResponse:
        """Rerank texts; blocks. Raises HttpError for a model that is not served."""
        reranker = self.model(model)
        options["return_documents"] = False
        return reranker.rerank(query, documents, **options)

    def model(self, name: str | None = None) -> BaseReranker:
        """Return the reranker of that name, or else the default one.

        A repository's name without its revision is that of the first model of the repository.
        Raises HttpError: 503 while models are loaded, 404 for another name where names are
        `strict`.
        """
        self.check_ready()
        if name is not None and name in self.models:
            return self._models[name]
        for served in self.models:
            repository, at, _ = served.partition("@")
            if at and repository == name:
                return self._models[served]
        if name is not None and self.settings.strict:
            known = ", ".join(self.models)
            raise HttpError(404, "unknown model", f"there is no model {name!r}, but {known}")
        return self._models[self.models[0]]

    def max_documents(self, of_key: int | None = None) -> int:
        """Return how many documents a request may have; `of_key` is the limit of its key."""
        limit = self.settings.max_documents
        return limit if of_key is None else min(limit, of_key)

    def check_count(self, documents: int, of_key: int | None = None) -> None:
        """Raise HttpError (400) for more documents than a request, or its key, may have."""
        limit = self.max_documents(of_key)
        if documents > limit:
            raise HttpError(
                400, "too many", f"there are {documents} documents, at most {limit}"
            )

    def check_ready(self) -> None:
        """Raise HttpError (503) while models are loaded, and while the server stops."""
        if not self.ready:
            raise HttpError(503, "starting", "the models are being loaded", retry_after=1)

    @contextmanager
    def _count_request(self, tenant: str) -> Iterator[None]:
        free = MAX_CONCURRENT_REQUESTS - self.active_requests
        if self._active[tenant] >= _THREADS_PER_FREE * free:
            raise HttpError(429, "busy", "too many requests at once", retry_after=1)
        self._active[tenant] += 1
        try:
            yield
        finally:
            self._active[tenant] -= 1
            if not self._active[tenant]:
                del self._active[tenant]
