"""The models of a server, and how a request reaches one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from secondpass.errors import SecondpassError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.cross_encoder import CrossEncoder
from secondpass.rerank.hosted.model import HostedReranker
from secondpass.rerank.llm.model import LLMReranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.reranker import Reranker
from secondpass.server.access.api_keys import TENANT
from secondpass.server.http_errors import HttpError, problem_of
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.scheduler.queue import OverloadedError, WorkQueue
from secondpass.server.scheduler.scheduled_models import (
    TOKENS_AT_ONCE,
    ScheduledReranker,
    Ticket,
    still_wanted,
    with_ticket,
)
from secondpass.server.settings import ServerSettings
from secondpass.types import RerankResponse

if TYPE_CHECKING:
    from secondpass.llm import LLM
    from secondpass.retrieve.embedder import Embedder
    from secondpass.server.index_catalog import IndexCatalog

T = TypeVar("T")
# Requests that wait hold a thread each, which only sleeps.
MOST_AT_ONCE = 128
READERS = 8
"""How many threads read what clients of Weaviate store: Arrow keeps memory for each."""
EMBEDDER = "bundled-embedder"
"""The name of the model that makes vectors."""


class Background(Protocol):
    """What works beside the requests, from when the models are loaded to the end."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Leave off, at a point from which it can go on at the next start."""


class ServerState:
    """Reranks for many requests at once through one queue.

    Models that run here are queued; a provider's are asked at once, as its own limits hold.
    `llm` writes answers; None before `load`, and where sentences have to do.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.queue = WorkQueue(settings.most_waiting, most_at_once=TOKENS_AT_ONCE)
        self.ready = False
        self.at_once = 0
        self.background: list[Background] = []
        self._models: dict[str, BaseReranker] = {}
        self._catalog: IndexCatalog | None = None
        self._embedder: Embedder | None = None
        self._embedder_lock = threading.Lock()
        self.llm: LLM | None = None
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "secondpass-request")
        self._readers = ThreadPoolExecutor(READERS, "secondpass-reading")

    @property
    def models(self) -> list[str]:
        """The names that are served, the default first."""
        return list(self.settings.models)

    def loaded(self, name: str) -> bool:
        """Return whether a model can be used."""
        return self.ready and name in self._models

    @property
    def longest(self) -> int | None:
        """How many tokens the default model reads at once; None where nobody knows."""
        base = self._models[self.models[0]].base
        return base.max_length if isinstance(base, PrecomputedReranker | CrossEncoder) else None

    @property
    def precision(self) -> str:
        """That of the default model, as its manifest has it."""
        base = self._models[self.models[0]].base
        known = base.folder.manifest if isinstance(base, PrecomputedReranker) else {}
        return str(known.get("precision", "unknown"))

    def load(self) -> None:
        """Load all models and use each once, so that the first request is no slower.

        Raises what loading a model raises. Does nothing the second time.
        """
        if self.ready:
            return
        for name in self.settings.models:
            loaded = Reranker(
                name, threads=self.settings.threads, early_exit=self.settings.exits
            )
            if isinstance(loaded.base, HostedReranker | LLMReranker):
                self._models[name] = loaded
                continue
            loaded.rerank("warm", ["up"])
            self._models[name] = ScheduledReranker(loaded, self.queue)
        if self.settings.llm is not None:
            from secondpass.llm import load_llm

            self.llm = load_llm(self.settings.llm)
        if self.settings.indexes or self.settings.data is not None:
            self._catalog = self._opened()
        self.ready = True
        for one in self.background:
            one.start()

    @property
    def has_collections(self) -> bool:
        """Whether this server has indexes, or may get some."""
        return self._catalog is not None

    @property
    def catalog(self) -> IndexCatalog:
        """The indexes; raises Problem: 503 while they are opened, 404 where there are none."""
        if not self.ready:
            raise HttpError(503, "starting", "the models are being loaded", retry_after=1)
        if self._catalog is None:
            raise HttpError(
                404, "no index", "this server was started without --index and --data"
            )
        return self._catalog

    def _opened(self) -> IndexCatalog:
        from secondpass.server.index_catalog import IndexCatalog

        found = IndexCatalog(
            self.settings.data,
            self.settings.indexes,
            embedder=self.embedder(),
            reranker=self._models[self.models[0]],
            queue=self.queue,
        )
        for name in self.settings.indexes:
            _ = found.find(TENANT, name).index
        return found

    def embedder(self) -> Embedder:
        """Return what makes vectors, loaded when it is first needed; blocks."""
        from secondpass.retrieve.embedder import Embedder

        with self._embedder_lock:
            if self._embedder is None:
                self._embedder = Embedder()
            return self._embedder

    def close(self) -> bool:
        """Take nothing more, finish what there is; return whether that was in time."""
        self.ready = False
        for one in self.background:
            one.stop()
        done = self.queue.close(self.settings.drain)
        if self._catalog is not None:
            self._catalog.close()
        if self.llm is not None:
            self.llm.close()
        for threads in (self._threads, self._readers):
            threads.shutdown(wait=False, cancel_futures=True)
        return done

    def ticket(self, timeout: float | None = None) -> Ticket:
        """Return a place for one request, which counts from now on."""
        seconds = self.settings.timeout if timeout is None else timeout
        return Ticket(time.monotonic() + seconds)

    def admit(self, ticket: Ticket) -> None:
        """Raise Problem (429) for a request whose work would wait too long.

        Before it begins: else it would do a first pass for nothing.
        """
        try:
            self.queue.admit(ticket.deadline)
        except OverloadedError as error:
            raise problem_of(error) from error

    async def run(self, ticket: Ticket, do: Callable[[], T]) -> T:
        """Do what blocks in a thread; what it queues has the ticket's deadline.

        Raises Problem for what cannot be answered.
        """
        with self._place(), with_ticket(ticket):
            context = contextvars.copy_context()
            work = asyncio.get_running_loop().run_in_executor(self._threads, context.run, do)
            try:
                return await work
            except SecondpassError as error:
                raise problem_of(error) from error

    def reading(self, do: Callable[[], T]) -> Future[T]:
        """Begin what reads an index, in one of the few threads that do; see `awaited`."""

        def turn() -> T:
            still_wanted()
            return do()

        return self._readers.submit(contextvars.copy_context().run, turn)

    def rerank(self, ask: RerankRequest) -> RerankResponse:
        """Return the response; blocks. Raises Problem for a model that is not there."""
        model = self.model(ask.model)
        return model.rerank(ask.query, ask.documents, top_k=ask.top, return_documents=False)

    def check_count(self, documents: int, of_key: int | None = None) -> None:
        """Raise Problem for more documents than a request, or its key, may have."""
        most = self.settings.max_documents
        most = most if of_key is None else min(most, of_key)
        if documents > most:
            raise HttpError(400, "invalid", f"there are {documents} documents, at most {most}")

    def model(self, name: str | None = None) -> BaseReranker:
        """Return the model of a name, or the one that stands for it.

        Raises Problem: 503 while models are loaded, 404 where models are `strict`.
        """
        if not self.ready:
            raise HttpError(503, "starting", "the models are being loaded", retry_after=1)
        if name is not None and name in self._models:
            return self._models[name]
        if name is not None and self.settings.strict:
            known = ", ".join(self.models)
            raise HttpError(404, "unknown model", f"there is no model {name!r}, but {known}")
        return self._models[self.models[0]]

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self.at_once >= MOST_AT_ONCE:
            raise HttpError(429, "busy", "too many requests at once", retry_after=1)
        self.at_once += 1
        try:
            yield
        finally:
            self.at_once -= 1
