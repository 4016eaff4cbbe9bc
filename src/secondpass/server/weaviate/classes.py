"""The classes of each tenant: finding, making, removing, and who may write at a time.

One class over its index: what is declared, and what is stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import OWN_VECTORS, IndexKey, ServedIndex
from secondpass.server.scheduler.scheduled_models import ScheduledEncoder, awaited
from secondpass.server.weaviate.class_definition import (
    ClassDefinition,
    declared_class,
    language_of,
    read_class,
)
from secondpass.server.weaviate.names import class_name
from secondpass.server.weaviate.objects import StoredObject, from_hit
from secondpass.server.weaviate.properties import check_number
from secondpass.server.weaviate.responses import absent, refused

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.store_protocol import Embedding
    from secondpass.server.index_catalog import ServedIndex
    from secondpass.server.state import ServerState


T = TypeVar("T")
_CLASS = "class"


def about_class(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a collection keeps of a class."""
    made = {"chunk_tokens": None, "language": language_of(declaration)}
    own = not read_class(declaration).embeds
    return {_CLASS: dict(declaration), "index": made, OWN_VECTORS: own}


class ClassIndex:
    """A class of one tenant. Safe to use from several threads at once.

    `writes` and `written` count what was stored since the index was last tidied.
    """

    def __init__(self, collection: ServedIndex, state: ServerState) -> None:
        self.collection, self._state = collection, state
        self._store: LanceStore | None = None
        self._read: tuple[Mapping[str, Any], ClassDefinition] | None = None
        self._lock = threading.Lock()
        self.writes = self.written = 0

    @property
    def declaration(self) -> dict[str, Any]:
        """The class as clients see it."""
        found: dict[str, Any] = self.collection.about[_CLASS]
        return found

    @property
    def definition(self) -> ClassDefinition:
        """What is declared of the class."""
        declaration = self.declaration
        read = self._read
        if read is None or read[0] is not declaration:
            self._read = read = (declaration, read_class(declaration))
        return read[1]

    def declare(self, declaration: Mapping[str, Any]) -> None:
        """Keep another declaration of the class; raises Problem (422) for one too long."""
        check_number(len(declaration["properties"]), declaration["class"])
        self.collection.save({**self.collection.about, _CLASS: dict(declaration)})

    @property
    def store(self) -> LanceStore:
        """The class's store, opened when it is first needed."""
        embedder = self.collection.index.embedder if self.definition.embeds else None
        with self._lock:
            if self._store is None:
                path = self.collection.folder / "index"
                self._store = open_index(path, embedder, **self.collection.about["index"])
            return self._store

    @property
    def embedder(self) -> Embedder:
        """What makes the vectors; raises Problem (422) where clients bring them."""
        if not self.definition.embeds:
            raise refused(f"class '{self.definition.name}' has no vectorizer")
        return self.collection.index.embedder

    def encoded(self, texts: Sequence[str]) -> Embedding:
        """Return a vector for each text, made where the store is read; blocks.

        Raises Problem (422) where clients bring the vectors.
        """
        embedder = self.embedder
        return awaited(self._state.reading(lambda: embedder.encode(list(texts))))

    def ingest_embedder(self) -> ScheduledEncoder:
        """Return what makes the vectors of objects that are stored, in turn with requests."""
        return ScheduledEncoder(self.collection.index.ingest_embedder(), self._state.queue)

    def reranker(self) -> BaseReranker:
        """Return what reranks: the model that the class names, or what stands for it."""
        model = self._state.model(self.definition.reranker)
        return self.collection.index.reranker(model) if self.definition.embeds else model

    def begin(self, do: Callable[[LanceStore], T]) -> Future[T]:
        """Begin to read the store, in one of the few threads that read."""
        store = self.store
        return self._state.reading(lambda: do(store))

    def read(self, do: Callable[[LanceStore], T]) -> T:
        """Do as `begin`, and return what is read; blocks."""
        return awaited(self.begin(do))

    def count(self, condition: str | None = None) -> int:
        """Return how many objects there are, or pass a condition."""
        return self.read(lambda store: store.count_documents(condition))

    def found(self, ids: Sequence[str], *, vectors: bool = False) -> dict[str, StoredObject]:
        """Return those of these objects that are there, by id."""
        hits = self.read(lambda store: store.get(ids, embeddings=vectors))
        return {name: from_hit(hit) for name, hit in hits.items()}


NAMESPACE = "weaviate"


class Classes:
    """Finds, makes and removes classes. Safe to use from several threads at once."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self._known: dict[IndexKey, ClassIndex] = {}
        self._turns: dict[IndexKey, threading.RLock] = {}
        self._lock = threading.Lock()

    def listed(self, tenant: str) -> list[ClassIndex]:
        """Return the classes of a tenant, by name."""
        found = self.state.catalog.listed(tenant, NAMESPACE)
        return [self._class(collection) for collection in found]

    def find(self, tenant: str, name: object) -> ClassIndex:
        """Return a class; raises Problem (404) where there is none."""
        place = IndexKey(tenant, NAMESPACE, class_name(name))
        try:
            return self._class(self.state.catalog.get(place))
        except HttpError as problem:
            if problem.status != 404:
                raise
            raise absent(f"class '{place.name}' not found in schema") from problem

    def create(self, tenant: str, declaration: Mapping[str, Any]) -> ClassIndex:
        """Make a class of what a client declares; raises Problem (422) if it cannot be."""
        declared = declared_class(declaration)
        name = declared["class"]
        with self._turn(IndexKey(tenant, NAMESPACE, "")):
            for other in self.listed(tenant):
                there = other.definition.name
                if there == name:
                    raise refused(f"class name {name} already exists")
                if there.lower() == name.lower():
                    raise refused(
                        f"class name {name!r} already exists as a permutation of: {there!r}. "
                        "class names must be unique when lowercased"
                    )
            place = IndexKey(tenant, NAMESPACE, name)
            made = self.state.catalog.create(place, about_class(declared))
            return self._class(made)

    def delete(self, tenant: str, name: object) -> None:
        """Remove a class with all that is in it; does nothing where there is none."""
        place = IndexKey(tenant, NAMESPACE, class_name(name))
        with self._turn(place):
            try:
                self.state.catalog.delete(place)
            except HttpError as problem:
                if problem.status != 404:
                    raise
            with self._lock:
                self._known.pop(place, None)

    @contextmanager
    def writing(self, tenant: str, name: object, *, make: bool = False) -> Iterator[ClassIndex]:
        """Hold the only right to change a class; `make` it where it is not there.

        Raises Problem (404) where there is none.
        """
        place = IndexKey(tenant, NAMESPACE, class_name(name))
        with self._turn(place):
            try:
                found = self.find(tenant, name)
            except HttpError as problem:
                if problem.status != 404 or not make:
                    raise
                found = self.create(tenant, {"class": place.name})
            yield found

    def _class(self, collection: ServedIndex) -> ClassIndex:
        with self._lock:
            known = self._known.get(collection.place)
            if known is None or known.collection is not collection:
                # A class of the same name may have gone before.
                known = self._known[collection.place] = ClassIndex(collection, self.state)
            return known

    @contextmanager
    def _turn(self, place: IndexKey) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(place, threading.RLock())
        with turn:
            yield
