"""The classes of each tenant: finding, making, removing, and who may write at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from secondpass.server.http_errors import Problem
from secondpass.server.index_catalog import Collection, Place
from secondpass.server.weaviate.class_definition import declared_class
from secondpass.server.weaviate.class_index import ClassIndex, about_class
from secondpass.server.weaviate.names import class_name
from secondpass.server.weaviate.responses import absent, refused

if TYPE_CHECKING:
    from secondpass.server.state import RerankService

NAMESPACE = "weaviate"


class Classes:
    """Finds, makes and removes classes. Safe to use from several threads at once."""

    def __init__(self, service: RerankService) -> None:
        self.service = service
        self._known: dict[Place, ClassIndex] = {}
        self._turns: dict[Place, threading.RLock] = {}
        self._lock = threading.Lock()

    def listed(self, tenant: str) -> list[ClassIndex]:
        """Return the classes of a tenant, by name."""
        found = self.service.collections.listed(tenant, NAMESPACE)
        return [self._class(collection) for collection in found]

    def find(self, tenant: str, name: object) -> ClassIndex:
        """Return a class; raises Problem (404) where there is none."""
        place = Place(tenant, NAMESPACE, class_name(name))
        try:
            return self._class(self.service.collections.get(place))
        except Problem as problem:
            if problem.status != 404:
                raise
            raise absent(f"class '{place.name}' not found in schema") from problem

    def create(self, tenant: str, declaration: Mapping[str, Any]) -> ClassIndex:
        """Make a class of what a client declares; raises Problem (422) if it cannot be."""
        declared = declared_class(declaration)
        name = declared["class"]
        with self._turn(Place(tenant, NAMESPACE, "")):
            for other in self.listed(tenant):
                there = other.definition.name
                if there == name:
                    raise refused(f"class name {name} already exists")
                if there.lower() == name.lower():
                    raise refused(
                        f"class name {name!r} already exists as a permutation of: {there!r}. "
                        "class names must be unique when lowercased"
                    )
            place = Place(tenant, NAMESPACE, name)
            made = self.service.collections.create(place, about_class(declared))
            return self._class(made)

    def delete(self, tenant: str, name: object) -> None:
        """Remove a class with all that is in it; does nothing where there is none."""
        place = Place(tenant, NAMESPACE, class_name(name))
        with self._turn(place):
            try:
                self.service.collections.delete(place)
            except Problem as problem:
                if problem.status != 404:
                    raise
            with self._lock:
                self._known.pop(place, None)

    @contextmanager
    def writing(self, tenant: str, name: object, *, make: bool = False) -> Iterator[ClassIndex]:
        """Hold the only right to change a class; `make` it where it is not there.

        Raises Problem (404) where there is none.
        """
        place = Place(tenant, NAMESPACE, class_name(name))
        with self._turn(place):
            try:
                found = self.find(tenant, name)
            except Problem as problem:
                if problem.status != 404 or not make:
                    raise
                found = self.create(tenant, {"class": place.name})
            yield found

    def _class(self, collection: Collection) -> ClassIndex:
        with self._lock:
            known = self._known.get(collection.place)
            if known is None or known.collection is not collection:
                # A class of the same name may have gone before.
                known = self._known[collection.place] = ClassIndex(collection, self.service)
            return known

    @contextmanager
    def _turn(self, place: Place) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(place, threading.RLock())
        with turn:
            yield
