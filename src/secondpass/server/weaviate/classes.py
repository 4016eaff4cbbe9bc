"""Classes: one index per class and tenant, and the lock that serializes its writers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import OWN_VECTORS, IndexKey, ServedIndex
from secondpass.server.scheduler.scheduled_models import ScheduledEncoder, wait_for
from secondpass.server.weaviate.class_definition import (
    ClassDefinition,
    complete_class,
    text_language,
)
from secondpass.server.weaviate.errors import not_found, unprocessable
from secondpass.server.weaviate.names import parse_class_name
from secondpass.server.weaviate.objects import StoredObject
from secondpass.server.weaviate.properties import check_property_count

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.store_protocol import Embedding
    from secondpass.server.state import ServerState

T = TypeVar("T")
_NAMESPACE = "weaviate"
_CLASS = "class"


class ClassIndex:
    """The index of a class of one tenant. Safe to use from several threads at once.

    `writes` and `written` count write operations and objects since the last compaction.
    """

    def __init__(self, served: ServedIndex, state: ServerState) -> None:
        self.served, self._state = served, state
        self._store: LanceStore | None = None
        self._parsed: tuple[Mapping[str, Any], ClassDefinition] | None = None
        self._lock = threading.Lock()
        self.writes = self.written = 0

    @property
    def declaration(self) -> dict[str, Any]:
        """The complete declaration of the class, as clients see it."""
        declaration: dict[str, Any] = self.served.metadata[_CLASS]
        return declaration

    @property
    def definition(self) -> ClassDefinition:
        """The parsed declaration, cached until it changes."""
        declaration, parsed = self.declaration, self._parsed
        if parsed is None or parsed[0] is not declaration:
            parsed = (declaration, ClassDefinition.from_declaration(declaration))
            self._parsed = parsed
        return parsed[1]

    def save_declaration(self, declaration: Mapping[str, Any]) -> None:
        """Replace the declaration; raises HttpError (422) for too many properties."""
        check_property_count(len(declaration["properties"]), declaration["class"])
        self.served.save({**self.served.metadata, _CLASS: dict(declaration)})

    @property
    def store(self) -> LanceStore:
        """The class's store, opened at first use."""
        embedder = self.served.index.embedder if self.definition.embeds else None
        with self._lock:
            if self._store is None:
                path = self.served.folder / "index"
                self._store = open_index(path, embedder, **self.served.metadata["index"])
            return self._store

    @property
    def embedder(self) -> Embedder:
        """The embedder; raises HttpError (422) for a class without a vectorizer."""
        if not self.definition.embeds:
            raise unprocessable(f"class '{self.definition.name}' has no vectorizer")
        return self.served.index.embedder

    def embed(self, texts: Sequence[str]) -> Embedding:
        """Return a vector for each text, of shape (texts, dimension); blocks.

        Raises HttpError (422) for a class without a vectorizer.
        """
        embedder = self.embedder
        # In the few threads that read the store, too: they bound the memory.
        return wait_for(self._state.submit_read(lambda: embedder.encode(list(texts))))

    def ingest_embedder(self) -> ScheduledEncoder:
        """Return the embedder for objects to be stored, scheduled in the shared work queue."""
        embedder, tenant = self.served.index.ingest_embedder(), self.served.key.tenant
        return ScheduledEncoder(embedder, self._state.queue, tenant=tenant)

    def reranker(self) -> BaseReranker:
        """Return the reranker that the class names, or the server's default."""
        model = self._state.model(self.definition.reranker)
        return self.served.index.reranker(model) if self.definition.embeds else model

    def submit(self, read: Callable[[LanceStore], T]) -> Future[T]:
        """Start a read of the store in the reader threads."""
        store = self.store
        return self._state.submit_read(lambda: read(store))

    def read(self, read: Callable[[LanceStore], T]) -> T:
        """Read the store in the reader threads; blocks."""
        return wait_for(self.submit(read))

    def count(self, sql_filter: str | None = None) -> int:
        """Return the number of objects, or of those that pass a filter."""
        return self.read(lambda store: store.count_documents(sql_filter))

    def get_objects(
        self, ids: Sequence[str], *, vectors: bool = False
    ) -> dict[str, StoredObject]:
        """Return the objects with these ids, by id; missing ones are left out."""
        hits = self.read(lambda store: store.get(ids, embeddings=vectors))
        return {id_: StoredObject.from_hit(hit) for id_, hit in hits.items()}


class Classes:
    """Finds, creates and deletes classes. Safe to use from several threads at once."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self._open: dict[IndexKey, ClassIndex] = {}
        self._write_locks: dict[IndexKey, threading.RLock] = {}
        self._lock = threading.Lock()

    def list_classes(self, tenant: str) -> list[ClassIndex]:
        """Return the classes of a tenant, by name."""
        served = self.state.catalog.list_indexes(tenant, _NAMESPACE)
        return [self._class_index(index) for index in served]

    def get(self, tenant: str, name: object) -> ClassIndex:
        """Return a class; raises HttpError (404)."""
        key = IndexKey(tenant, _NAMESPACE, parse_class_name(name))
        try:
            return self._class_index(self.state.catalog.get(key))
        except HttpError as error:
            if error.status != 404:
                raise
            raise not_found(f"class '{key.name}' not found in schema") from error

    def create(self, tenant: str, body: Mapping[str, Any]) -> ClassIndex:
        """Create a class from a client's declaration; raises HttpError (422)."""
        declaration = complete_class(body)
        name = declaration["class"]
        with self._write_lock(IndexKey(tenant, _NAMESPACE, "")):
            for other in self.list_classes(tenant):
                existing = other.definition.name
                if existing == name:
                    raise unprocessable(f"class name {name} already exists")
                if existing.lower() == name.lower():
                    raise unprocessable(
                        f"class name {name!r} already exists as a permutation of: "
                        f"{existing!r}. class names must be unique when lowercased"
                    )
            key = IndexKey(tenant, _NAMESPACE, name)
            served = self.state.catalog.create(key, _index_metadata(declaration))
            return self._class_index(served)

    def delete(self, tenant: str, name: object) -> None:
        """Delete a class and its objects; does nothing if there is none."""
        key = IndexKey(tenant, _NAMESPACE, parse_class_name(name))
        with self._write_lock(key):
            try:
                self.state.catalog.delete(key)
            except HttpError as error:
                if error.status != 404:
                    raise
            with self._lock:
                self._open.pop(key, None)

    @contextmanager
    def lock(self, tenant: str, name: object, *, create: bool = False) -> Iterator[ClassIndex]:
        """Hold the exclusive right to write to a class, created first with `create`.

        Raises HttpError (404) for a missing class.
        """
        key = IndexKey(tenant, _NAMESPACE, parse_class_name(name))
        with self._write_lock(key):
            try:
                index = self.get(tenant, name)
            except HttpError as error:
                if error.status != 404 or not create:
                    raise
                index = self.create(tenant, {"class": key.name})
            yield index

    def _class_index(self, served: ServedIndex) -> ClassIndex:
        with self._lock:
            index = self._open.get(served.key)
            if index is None or index.served is not served:
                # A class of the same name may have been deleted before.
                index = self._open[served.key] = ClassIndex(served, self.state)
            return index

    @contextmanager
    def _write_lock(self, key: IndexKey) -> Iterator[None]:
        with self._lock:
            lock = self._write_locks.setdefault(key, threading.RLock())
        with lock:
            yield


def _index_metadata(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the catalog stores about a class."""
    settings = {"chunk_tokens": None, "language": text_language(declaration)}
    own_vectors = not ClassDefinition.from_declaration(declaration).embeds
    return {_CLASS: dict(declaration), "index": settings, OWN_VECTORS: own_vectors}
