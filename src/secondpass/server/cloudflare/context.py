"""Shared state of this dialect's endpoints, and one request to them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import SecondpassError
from secondpass.inference.unicode import clean
from secondpass.llm import LLM
from secondpass.rerank.base import BaseReranker
from secondpass.server.cloudflare.indexing_worker import IndexingWorker
from secondpass.server.cloudflare.instance import Instance, is_instance
from secondpass.server.cloudflare.instance_settings import (
    chunking,
    new_settings,
    requires_reindexing,
    updated_settings,
)
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.namespaces import (
    DEFAULT_NAMESPACE,
    RECORD_KEY,
    NamespaceRegistry,
    check_name,
    index_key,
    namespace_of,
    new_endpoint_id,
)
from secondpass.server.cloudflare.public_access import EndpointRateLimits, PublicEndpoints
from secondpass.server.cloudflare.responses import (
    already_exists,
    list_page,
    not_found,
    now_ms,
)
from secondpass.server.cloudflare.schemas import InstanceSettings, query_int
from secondpass.server.cloudflare.search_cache import SimilarityCache
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import IndexCatalog, IndexKey
from secondpass.server.request_context import RequestContext
from secondpass.server.state import ServerState

_log = logging.getLogger("secondpass.server")


class AppContext:
    """Namespaces, instances, the indexing worker and caches of a server. Thread-safe."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self.namespaces = NamespaceRegistry(state.settings.data)
        self.worker = IndexingWorker()
        self.cache = SimilarityCache()
        self.rate_limits = EndpointRateLimits()
        self.public_endpoints = PublicEndpoints(self.namespaces, self.all_instances)
        self._instances: dict[IndexKey, Instance] = {}
        self._lock = threading.RLock()

    @property
    def catalog(self) -> IndexCatalog:
        """The server's indexes; raises HttpError (503 while loading, 404 without --data)."""
        return self._state.catalog

    @property
    def write_timeout(self) -> float:
        """Seconds for a request that writes or generates an answer."""
        return self._state.settings.write_timeout

    @property
    def llm(self) -> LLM | None:
        """The language model that writes answers, loaded once for the whole server."""
        return self._state.llm

    def reranker(self, name: str | None = None) -> BaseReranker:
        """Return a model of the server, the default without a name; raises HttpError (404)."""
        return self._state.model(name)

    def start(self) -> None:
        """Start indexing what was not finished at the last stop."""
        if self._state.settings.data is not None:
            self.worker.start(self._unfinished_instances)

    def stop(self) -> None:
        """Stop indexing and close the instances."""
        self.worker.stop()
        with self._lock:
            for instance in self._instances.values():
                instance.close()
            self._instances.clear()

    def instance(self, tenant: str, namespace: str, name: str) -> Instance:
        """Return an instance; raises HttpError (404)."""
        key = index_key(tenant, namespace, name)
        with self._lock:
            if key in self._instances:
                return self._instances[key]
            try:
                served_index = self.catalog.get(key)
            except HttpError as error:
                if error.status == 404 and error.kind == "not found":
                    raise not_found(f"instance {name!r}") from None
                raise
            if not is_instance(served_index):
                raise not_found(f"instance {name!r}")
            self._instances[key] = Instance(served_index, namespace)
            return self._instances[key]

    def list_instances(self, tenant: str, namespace: str) -> list[Instance]:
        """Return the instances of a namespace, by name."""
        catalog_namespace = index_key(tenant, namespace, "").namespace
        return [
            self.instance(tenant, namespace, served_index.key.name)
            for served_index in self.catalog.list_indexes(tenant, catalog_namespace)
            if is_instance(served_index)
        ]

    def all_instances(self) -> Iterator[Instance]:
        """Yield the instances of all tenants, without those that cannot be opened."""
        data = self._state.settings.data
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

    def create_instance(
        self, context: RequestContext, namespace: str, body: Mapping[str, Any]
    ) -> Instance:
        """Create an instance; raises HttpError: 400, 404 without the namespace, or 409."""
        with self.public_endpoints.changes:
            return self._create_instance(context, namespace, body)

    def _create_instance(
        self, context: RequestContext, namespace: str, body: Mapping[str, Any]
    ) -> Instance:
        caller = context.caller
        self.namespaces.get(caller.tenant, namespace)
        if not isinstance(body.get("id"), str):
            raise HttpError(400, "invalid", "id is missing, or is not a string")
        name = check_name("id", body["id"])
        settings = new_settings(body)
        settings.pop("id", None)
        self.public_endpoints.check_domains(settings["public_endpoint_params"], None)
        created_at = now_ms()
        record = {
            "settings": settings,
            "created_at": created_at,
            "modified_at": created_at,
            "created_by": caller.name,
            "modified_by": caller.name,
            "public_endpoint_id": _endpoint_id(None, settings),
        }
        key = index_key(caller.tenant, namespace, name)
        with self._lock:
            try:
                self.catalog.create(
                    key, {"index": _index_options(settings), RECORD_KEY: record}
                )
            except HttpError as error:
                if error.status == 409:
                    raise already_exists(f"instance {name!r}") from None
                raise
            instance = self.instance(caller.tenant, namespace, name)
        self.public_endpoints.update(instance)
        return instance

    def update_instance(
        self, context: RequestContext, instance: Instance, body: Mapping[str, Any]
    ) -> None:
        """Change the settings of an instance; raises HttpError (400 or 409).

        A change of chunking or of fields starts a job that indexes all items again; searches
        return the old chunks until then.
        """
        with self.public_endpoints.changes:
            self._update_instance(context, instance, body)

    def _update_instance(
        self, context: RequestContext, instance: Instance, body: Mapping[str, Any]
    ) -> None:
        self.public_endpoints.check_domains(
            updated_settings(instance.settings, body)["public_endpoint_params"],
            instance.record["public_endpoint_id"],
        )
        with self._lock:
            if instance.is_deleted:
                raise not_found(f"instance {instance.name!r}")
            before = instance.settings
            settings = updated_settings(before, body)
            record = {
                **instance.record,
                "settings": settings,
                "modified_at": now_ms(),
                "modified_by": context.caller.name,
                "public_endpoint_id": _endpoint_id(
                    instance.record["public_endpoint_id"], settings
                ),
            }
            instance.save(record, _index_options(settings))
        if requires_reindexing(before, settings):
            instance.jobs.create("the settings have changed", everything=True)
        self.public_endpoints.update(instance)
        self.worker.schedule(instance)

    def delete_instance(self, instance: Instance) -> None:
        """Delete an instance with all its files, and cancel its indexing."""
        instance.deleting = True
        self.worker.cancel(instance)
        try:
            with instance.write_lock, self._lock:
                if instance.is_deleted:
                    raise not_found(f"instance {instance.name!r}")
                instance.mark_deleted()
                self._instances.pop(instance.key, None)
                self.catalog.delete(instance.key)
        finally:
            instance.deleting = instance.is_deleted
        self._disallow_instance(instance)

    def _disallow_instance(self, instance: Instance) -> None:
        """Remove an instance from the public endpoint of its namespace."""
        tenant, namespace = instance.key.tenant, instance.namespace
        params = self.namespaces.get(tenant, namespace)["public_endpoint_params"] or {}
        allowed = params.get("instances_allowed", [])
        if instance.name in allowed:
            remaining = [name for name in allowed if name != instance.name]
            params = {**params, "instances_allowed": remaining}
            self.namespaces.update(tenant, namespace, public_endpoint_params=params)

    def _unfinished_instances(self) -> Iterator[Instance]:
        for instance in self.all_instances():
            if instance.queue.has_pending() or instance.jobs.any_active():
                yield instance


def _index_options(settings: InstanceSettings) -> dict[str, Any]:
    size, overlap = chunking(settings)
    return {"chunk_tokens": size, "overlap": overlap}


def _endpoint_id(current: str | None, settings: InstanceSettings) -> str | None:
    enabled = settings["public_endpoint_params"].get("enabled", False)
    return new_endpoint_id() if enabled and current is None else current


DIALECT = "cloudflare"
_PER_PAGE = 20
_MAX_PER_PAGE = 100


@dataclass(slots=True)
class ApiRequest:
    """A request to this API; its lookups block and raise HttpError (404)."""

    app: AppContext
    context: RequestContext
    body: Mapping[str, Any] = field(default_factory=dict)
    _instance: Instance | None = None

    @property
    def tenant(self) -> str:
        """The caller's tenant; the account id in the path is ignored."""
        return self.context.caller.tenant

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        return {k: clean(v) for k, v in self.context.request.query_params.items()}

    def path_param(self, name: str) -> str | None:
        """Return a path parameter, or None if the path has no such parameter."""
        value: str | None = self.context.request.path_params.get(name)
        return None if value is None else clean(value)

    @property
    def namespace(self) -> str:
        """The namespace in the path, which must exist; the default one if there is none."""
        name = self.path_param("namespace")
        if name is None:
            return DEFAULT_NAMESPACE
        return str(self.app.namespaces.get(self.tenant, name)["name"])

    @property
    def instance(self) -> Instance:
        """The instance in the path."""
        if self._instance is None:
            name = self.path_param("instance") or ""
            self._instance = self.app.instance(self.tenant, self.namespace, name)
        return self._instance

    @contextmanager
    def not_found_if_deleted(self) -> Iterator[None]:
        """Turn an error inside the block into a 404 if the instance was deleted meanwhile."""
        try:
            yield
        except SecondpassError:
            if self._instance is not None and self._instance.is_deleted:
                raise not_found(f"instance {self._instance.name!r}") from None
            raise

    def find_item(self) -> Item:
        """Return the item in the path."""
        item_id = self.path_param("item") or ""
        item = self.instance.items.get(item_id)
        if item is None:
            raise not_found(f"item {item_id!r}")
        return item

    def page(self, *, max_per_page: int = _MAX_PER_PAGE) -> tuple[int, int]:
        """Return the number of the page, from 1, and the rows per page."""
        page = query_int(self.query, "page", 1, maximum=10**9)
        return page, query_int(self.query, "per_page", _PER_PAGE, maximum=max_per_page)

    def paginate(self, rows: list[Any]) -> dict[str, Any]:
        """Return the envelope of the requested page, empty beyond the last one."""
        page, size = self.page()
        page_rows = rows[(page - 1) * size : page * size]
        return list_page(page_rows, page=page, per_page=size, total=len(rows))
