"""One instance: its settings, its files, its index, and whether it is still there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

from secondpass.errors import SecondpassError
from secondpass.index.index import Index
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.filters import Field, fields_of
from secondpass.server.cloudflare.items import ItemLog, Items
from secondpass.server.cloudflare.jobs import Jobs, Work
from secondpass.server.cloudflare.namespaces import RECORD
from secondpass.server.cloudflare.responses import iso, missing
from secondpass.server.cloudflare.schemas import InstanceForm
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import ServedIndex

ENGINE = 3


class Instance:
    """A collection with files. Safe to use from several threads at once.

    `writing` is held by who changes the index, and by who removes the instance, which is
    `leaving` then. `stamp` changes whenever a search might find something else than before.
    """

    def __init__(self, collection: ServedIndex, namespace: str) -> None:
        self.collection, self.namespace = collection, namespace
        self.name = collection.place.name
        self.database = Database(collection.folder)
        self.items = Items(collection.folder, self.database)
        self.work, self.jobs = Work(self.database), Jobs(self.database)
        self.log = ItemLog(self.database)
        self.writing = threading.Lock()
        self._gate = threading.Lock()
        self._gone = self.leaving = False
        self._unique, self._changes = uuid.uuid4().hex, 0
        self._watched: dict[str, list[Future[None]]] = {}

    @property
    def record(self) -> dict[str, Any]:
        """What is stored of it, beside its files."""
        found: dict[str, Any] = self.collection.about[RECORD]
        return found

    @property
    def settings(self) -> InstanceForm:
        """Its settings, with what holds by default."""
        return cast(InstanceForm, self.record["settings"])

    @property
    def fields(self) -> dict[str, Field]:
        """The metadata that filters can name."""
        return fields_of(self.settings["custom_metadata"])

    @property
    def gone(self) -> bool:
        """Whether it was removed."""
        return self._gone

    def index(self) -> Index:
        """Return the index, opened; raises Problem (404) once the instance was removed."""
        # Opened after the removal, it would come back to life, empty.
        with self._gate:
            if self._gone:
                raise missing(f"instance {self.name!r}")
            return self.collection.index

    @contextmanager
    def present(self) -> Iterator[None]:
        """Turn what fails inside because the instance is being removed into a 404."""
        try:
            yield
        except SecondpassError:
            # Also a filter that is refused because its index has just gone.
            if self._gone:
                raise missing(f"instance {self.name!r}") from None
            raise

    def end(self) -> None:
        """Let nobody use it any more; for who holds `writing`."""
        with self._gate:
            self._gone = True
        self.close()

    def close(self) -> None:
        """Let go of the files' record, and of who waits for a file."""
        self.database.close()
        with self._gate:
            watched, self._watched = self._watched, {}
        for futures in watched.values():
            _finish(futures)

    @property
    def stamp(self) -> tuple[str, int]:
        """Tell this state of the instance from any other."""
        return self._unique, self._changes

    def has_changed(self) -> None:
        """Note that a search might find something else now."""
        with self._gate:
            self._changes += 1

    def watch(self, item: str) -> Future[None]:
        """Return what is done when a file is settled, or nobody will settle it."""
        future: Future[None] = Future()
        with self._gate:
            if self._gone:
                future.set_result(None)
            else:
                self._watched.setdefault(item, []).append(future)
        return future

    def settled(self, item: str) -> None:
        """Tell who waits for a file."""
        with self._gate:
            waiting = self._watched.pop(item, [])
        _finish(waiting)

    def save(self, record: dict[str, Any], index: dict[str, Any]) -> None:
        """Store the record and how files are cut."""
        with self.present():
            self.collection.save({"index": index, RECORD: record})
        self.has_changed()

    def shown(self) -> dict[str, Any]:
        """Return the instance as clients see it."""
        record, settings = self.record, self.settings
        counts = self.items.counts()
        busy = counts.get("queued", 0) + counts.get("running", 0) > 0
        *_, last = self.items.totals()
        return {
            **settings,
            "id": self.name,
            "namespace": self.namespace,
            "created_at": iso(record["created_at"]),
            "modified_at": iso(record["modified_at"]),
            "created_by": record["created_by"],
            "modified_by": record["modified_by"],
            "status": "paused" if settings["paused"] else "indexing" if busy else "ready",
            "enable": True,
            "engine_version": ENGINE,
            "last_activity": iso(last),
            "public_endpoint_id": record["public_endpoint_id"],
        }


def _finish(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        # Who waited may have hung up.
        if future.set_running_or_notify_cancel():
            future.set_result(None)


def check_there(collection: ServedIndex) -> None:
    """Raise Problem (404) for a collection that is none of this dialect."""
    if not isinstance(collection.about.get(RECORD), dict):
        raise HttpError(404, "not found", f"there is no instance {collection.place.name!r}")
