"""The instances of a server: found, made, changed and removed.

A request to this dialect: what its path, its query and its body say.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from secondpass.errors import SecondpassError
from secondpass.inference.tokenizer import clean
from secondpass.llm import LLM, load_llm
from secondpass.server.cloudflare.indexing import Worker
from secondpass.server.cloudflare.instance import Instance, check_there
from secondpass.server.cloudflare.instance_settings import (
    changed,
    chunking,
    created,
    cuts_anew,
)
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.namespaces import (
    DEFAULT,
    RECORD,
    NamespaceRegistry,
    check_name,
    namespace_of,
    new_endpoint,
    place,
)
from secondpass.server.cloudflare.public_access import Endpoints, Rates
from secondpass.server.cloudflare.responses import exists, listed, missing, now
from secondpass.server.cloudflare.schemas import InstanceForm, whole
from secondpass.server.cloudflare.search_cache import SimilarityCache
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import IndexCatalog, IndexKey
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work

_log = logging.getLogger("secondpass.server")


class AppContext:
    """What all endpoints of this dialect share. Safe to use from several threads at once."""

    def __init__(self, handler: RequestHandler) -> None:
        self.handler = handler
        self.book = NamespaceRegistry(handler.state.settings.data)
        self.worker = Worker()
        self.cache = SimilarityCache()
        self.rates = Rates()
        self.endpoints = Endpoints(self.book, self.everywhere)
        self._known: dict[IndexKey, Instance] = {}
        self._lock = threading.RLock()

    @property
    def catalog(self) -> IndexCatalog:
        """The server's collections; raises Problem where there are none."""
        return self.handler.state.catalog

    @cached_property
    def llm(self) -> LLM | None:
        """What writes answers, if anything does."""
        name = self.handler.state.settings.llm
        return None if name is None else load_llm(name)

    def start(self) -> None:
        """Begin to index what waits from last time."""
        if self.handler.state.settings.data is not None:
            self.worker.start(self._waiting)

    def stop(self) -> None:
        """Leave off indexing and close what is open."""
        self.worker.stop()
        with self._lock:
            for instance in self._known.values():
                instance.close()
            self._known.clear()
        llm = self.__dict__.pop("llm", None)
        if llm is not None:
            llm.close()

    def instance(self, tenant: str, namespace: str, name: str) -> Instance:
        """Return an instance; raises Problem (404)."""
        where = place(tenant, namespace, name)
        with self._lock:
            if where in self._known:
                return self._known[where]
            try:
                collection = self.catalog.get(where)
            except HttpError as problem:
                if problem.status == 404 and problem.kind == "not found":
                    raise missing(f"instance {name!r}") from None
                raise
            check_there(collection)
            self._known[where] = Instance(collection, namespace)
            return self._known[where]

    def listed(self, tenant: str, namespace: str) -> list[Instance]:
        """Return the instances of a namespace, by name."""
        folder = place(tenant, namespace, "").namespace
        return [
            self.instance(tenant, namespace, found.place.name)
            for found in self.catalog.listed(tenant, folder)
            if isinstance(found.about.get(RECORD), dict)
        ]

    def create(
        self, context: RequestContext, namespace: str, found: Mapping[str, Any]
    ) -> Instance:
        """Make an instance; raises Problem: 400, 404 without the namespace, or 409."""
        caller = context.caller
        self.book.get(caller.tenant, namespace)
        if not isinstance(found.get("id"), str):
            raise HttpError(400, "invalid", "id is missing, or is no string")
        name = check_name("id", found["id"])
        settings = created(found)
        settings.pop("id", None)
        who, moment = caller.name, now()
        record = {
            "settings": settings,
            "created_at": moment,
            "modified_at": moment,
            "created_by": who,
            "modified_by": who,
            "public_endpoint_id": _endpoint(None, settings),
        }
        where = place(caller.tenant, namespace, name)
        with self._lock:
            try:
                self.catalog.create(where, {"index": _index(settings), RECORD: record})
            except HttpError as problem:
                if problem.status == 409:
                    raise exists(f"instance {name!r}") from None
                raise
            made = self.instance(caller.tenant, namespace, name)
        self.endpoints.note(made)
        return made

    def update(
        self, context: RequestContext, instance: Instance, found: Mapping[str, Any]
    ) -> None:
        """Change the settings of an instance; raises Problem (400).

        Where they say how files are cut, all are indexed again; until then the old chunks
        are found.
        """
        with self._lock:
            if instance.gone:
                raise missing(f"instance {instance.name!r}")
            before = instance.settings
            settings = changed(before, found)
            record = {
                **instance.record,
                "settings": settings,
                "modified_at": now(),
                "modified_by": context.caller.name,
                "public_endpoint_id": _endpoint(
                    instance.record["public_endpoint_id"], settings
                ),
            }
            instance.save(record, _index(settings))
        if cuts_anew(before, settings):
            instance.jobs.create("the settings have changed", everything=True)
        self.endpoints.note(instance)
        self.worker.wake(instance)

    def delete(self, instance: Instance) -> None:
        """Remove an instance with all its files; what is under way for it is given up."""
        instance.leaving, where = True, instance.collection.place
        self.worker.give_up(instance)
        try:
            with instance.writing, self._lock:
                if instance.gone:
                    raise missing(f"instance {instance.name!r}")
                instance.end()
                self._known.pop(where, None)
                self.catalog.delete(where)
        finally:
            instance.leaving = instance.gone
        self._allow_no_more(where.tenant, instance)

    def _allow_no_more(self, tenant: str, instance: Instance) -> None:
        """Take an instance out of what its namespace shows to the public."""
        params = self.book.get(tenant, instance.namespace)["public_endpoint_params"] or {}
        allowed = params.get("instances_allowed", [])
        if instance.name in allowed:
            rest = [name for name in allowed if name != instance.name]
            params = {**params, "instances_allowed": rest}
            self.book.update(tenant, instance.namespace, public_endpoint_params=params)

    def everywhere(self) -> Iterator[Instance]:
        """Yield the instances of all tenants; those that cannot be read are passed over."""
        data = self.handler.state.settings.data
        if data is None or not data.is_dir():
            return
        for folder in sorted(path for path in data.glob("*/*/*") if path.is_dir()):
            tenant, namespace = folder.parts[-3], namespace_of(folder.parts[-2])
            if namespace is None:
                continue
            try:
                yield self.instance(tenant, namespace, folder.name)
            except HttpError:
                continue
            except SecondpassError as error:
                _log.error("instance %s cannot be opened: %s", folder.name, error)

    def _waiting(self) -> Iterator[Instance]:
        for instance in self.everywhere():
            if instance.work.waits() or instance.jobs.under_way():
                yield instance


def _index(settings: InstanceForm) -> dict[str, Any]:
    size, overlap = chunking(settings)
    return {"chunk_tokens": size, "overlap": overlap}


def _endpoint(before: str | None, settings: InstanceForm) -> str | None:
    enabled = settings["public_endpoint_params"].get("enabled", False)
    return new_endpoint() if enabled and before is None else before


Answer = Callable[["CloudflareCall"], Any]
"""What answers a call, in a thread: it may block."""
DIALECT = "cloudflare"
_PER_PAGE = 20
_MOST_PER_PAGE = 100


@dataclass(slots=True)
class CloudflareCall:
    """One request; what its properties look up blocks, and raises Problem (404)."""

    hub: AppContext
    context: RequestContext
    body: Mapping[str, Any] = field(default_factory=dict)
    _instance: Instance | None = None

    @property
    def tenant(self) -> str:
        """Whose instances are meant; the account in the path tells nothing."""
        return self.context.caller.tenant

    @property
    def query(self) -> Mapping[str, str]:
        """The query string."""
        return {k: clean(v) for k, v in self.context.request.query_params.items()}

    def named(self, part: str) -> str | None:
        """Return a part of the path, or None where the path has none of that name."""
        found: str | None = self.context.request.path_params.get(part)
        return None if found is None else clean(found)

    @property
    def namespace(self) -> str:
        """The namespace in the path, which must be there; the default one without any."""
        name = self.named("namespace")
        if name is None:
            return DEFAULT
        return str(self.hub.book.get(self.tenant, name)["name"])

    @property
    def instance(self) -> Instance:
        """The instance in the path."""
        if self._instance is None:
            name = self.named("instance") or ""
            self._instance = self.hub.instance(self.tenant, self.namespace, name)
        return self._instance

    def answered(self, answer: Answer) -> Any:
        """Return the answer; what fails as the instance is being removed is a 404."""
        try:
            return answer(self)
        except SecondpassError:
            if self._instance is not None and self._instance.gone:
                raise missing(f"instance {self._instance.name!r}") from None
            raise

    def item(self, instance: Instance) -> Item:
        """Return the file in the path."""
        number = self.named("item") or ""
        found = instance.items.get(number)
        if found is None:
            raise missing(f"item {number!r}")
        return found

    def page(self, *, most: int = _MOST_PER_PAGE) -> tuple[int, int]:
        """Return which page of a list is wanted, from 1, and how long pages are."""
        page = whole(self.query, "page", 1, most=10**9)
        return page, whole(self.query, "per_page", _PER_PAGE, most=most)

    def paged(self, rows: list[Any]) -> dict[str, Any]:
        """Return the page of a list that is wanted; beyond the last one it is empty."""
        page, size = self.page()
        some = rows[(page - 1) * size : page * size]
        return listed(some, page=page, per_page=size, total=len(rows))


def work_of(
    handler: RequestHandler, hub: AppContext, answer: Answer, *, reads: bool, writes: bool
) -> Work:
    """Return what answers exchanges by a function that blocks.

    `reads`: whether the body is one of JSON; `writes`: whether it may take long.
    """

    async def work(context: RequestContext) -> Any:
        call = CloudflareCall(hub, context)
        if reads:
            call.body = (await handler.body(context)).found
        timeout = handler.state.settings.write_timeout if writes else None
        return await handler.done(context, lambda: call.answered(answer), timeout=timeout)

    return work
