"""Paths of the Cloudflare AI Search API."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from secondpass.server.cloudflare import (
    autorag,
    instance_routes,
    item_routes,
    job_routes,
    namespace_routes,
    search_routes,
    uploads,
)
from secondpass.server.cloudflare.context import AppContext
from secondpass.server.cloudflare.operation import Endpoint, StreamEndpoint, api_operation
from secondpass.server.cloudflare.public_routes import PublicApi
from secondpass.server.cloudflare.schemas import SEARCH_FIELDS
from secondpass.server.cloudflare.workers_ai import RUN_MODEL
from secondpass.server.request_fields import RequestFields
from secondpass.server.request_handler import Operation, RequestHandler

_ACCOUNT = "/client/v4/accounts/{account}"
_BODY_METHODS = ("POST", "PUT", "PATCH")
_NAMESPACES = "/ai-search/namespaces"
_NAMESPACE = f"{_NAMESPACES}/{{namespace}}"
# The second is the older form, for the namespace "default".
_INSTANCES = (f"{_NAMESPACE}/instances", "/ai-search/instances")
_TOKENS = "/ai-search/tokens"
_RUN = "/ai/run/{model:path}"
_AUTORAG = "/autorag/rags/{instance}"
_PUBLIC = "/cloudflare/{endpoint}"


class AISearch:
    """Cloudflare AI Search on this server.

    - `routes`: all its paths; `public`: the operations that need no API key, also for paths
      that other dialects share.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler, self._app = handler, AppContext(handler.state)
        self.public = PublicApi(self._app)
        handler.state.background.append(self._app)

    @property
    def routes(self) -> list[Route]:
        """All paths of this dialect."""
        return [
            *self._namespaces(),
            *(route for base in _INSTANCES for route in self._instances(base)),
            *self._tokens(),
            *self._autorag(),
            self._serve("POST", _RUN, RUN_MODEL),
            *self._public(),
        ]

    def _namespaces(self) -> list[Route]:
        return [
            self._route("POST", _NAMESPACES, namespace_routes.create_namespace, "write"),
            self._route("GET", _NAMESPACES, namespace_routes.list_namespaces),
            self._route("GET", _NAMESPACE, namespace_routes.get_namespace),
            self._route("PUT", _NAMESPACE, namespace_routes.update_namespace, "write"),
            self._route("DELETE", _NAMESPACE, namespace_routes.delete_namespace, "write"),
            self._route(
                "POST",
                f"{_NAMESPACE}/search",
                search_routes.search_namespace,
                fields=SEARCH_FIELDS,
            ),
            self._route(
                "POST",
                f"{_NAMESPACE}/chat/completions",
                search_routes.chat_namespace,
                fields=SEARCH_FIELDS,
                stream=search_routes.stream_chat_namespace,
            ),
        ]

    def _instances(self, instances: str) -> list[Route]:
        instance = f"{instances}/{{instance}}"
        return [
            self._route("POST", instances, instance_routes.create_instance, "write"),
            self._route("GET", instances, instance_routes.list_instances),
            self._route("GET", instance, instance_routes.get_instance),
            self._route("PUT", instance, instance_routes.update_instance, "write"),
            self._route("DELETE", instance, instance_routes.delete_instance, "write"),
            self._route("GET", f"{instance}/stats", instance_routes.get_stats),
            self._route(
                "POST",
                f"{instance}/search",
                search_routes.search_instance,
                fields=SEARCH_FIELDS,
            ),
            self._route(
                "POST",
                f"{instance}/chat/completions",
                search_routes.chat_instance,
                fields=SEARCH_FIELDS,
                stream=search_routes.stream_chat_instance,
            ),
            *self._items(f"{instance}/items"),
            *self._jobs(f"{instance}/jobs"),
        ]

    def _items(self, items: str) -> list[Route]:
        item, app = f"{items}/{{item}}", self._app
        return [
            self._serve("POST", items, uploads.upload_operation(app)),
            self._serve("PUT", items, uploads.sync_operation(app, by_key=True)),
            self._serve("PATCH", item, uploads.sync_operation(app, by_key=False)),
            self._route("GET", items, item_routes.list_items),
            self._route("GET", item, item_routes.get_item),
            self._route("DELETE", item, item_routes.delete_item, "write"),
            self._route("GET", f"{item}/chunks", item_routes.list_chunks),
            self._route("GET", f"{item}/logs", item_routes.list_item_logs),
            self._route("GET", f"{item}/download", item_routes.download_item),
        ]

    def _jobs(self, jobs: str) -> list[Route]:
        job = f"{jobs}/{{job}}"
        return [
            self._route("POST", jobs, job_routes.create_job, "write"),
            self._route("GET", jobs, job_routes.list_jobs),
            self._route("GET", job, job_routes.get_job),
            self._route("PATCH", job, job_routes.update_job, "write"),
            self._route("GET", f"{job}/logs", job_routes.list_job_logs),
        ]

    def _tokens(self) -> list[Route]:
        reject = namespace_routes.reject_token
        return [
            self._route("GET", _TOKENS, namespace_routes.list_tokens),
            self._route("POST", _TOKENS, reject, "write"),
            *(
                self._route(method, f"{_TOKENS}/{{token}}", reject, "write")
                for method in ("GET", "PUT", "DELETE")
            ),
        ]

    def _autorag(self) -> list[Route]:
        return [
            self._route("POST", f"{_AUTORAG}/search", autorag.search, fields=autorag.FIELDS),
            self._route(
                "POST",
                f"{_AUTORAG}/ai-search",
                autorag.ai_search,
                fields=autorag.FIELDS,
                stream=autorag.stream_ai_search,
            ),
            self._route("PATCH", f"{_AUTORAG}/sync", autorag.sync, "write", reads_body=False),
        ]

    def _public(self) -> list[Route]:
        operations = (
            ("POST", "search", self.public.search_operation),
            ("OPTIONS", "search", self.public.preflight_operation("search")),
            ("POST", "chat/completions", self.public.chat_operation),
            (
                "OPTIONS",
                "chat/completions",
                self.public.preflight_operation("chat_completions"),
            ),
        )
        return [
            Route(f"{_PUBLIC}/{path}", self._handler.serve(operation), methods=[method])
            for method, path, operation in operations
        ]

    def _route(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        scope: str = "search",
        *,
        fields: RequestFields | None = None,
        stream: StreamEndpoint | None = None,
        reads_body: bool | None = None,
    ) -> Route:
        """Return the route of an endpoint; by default its method says whether it has a body."""
        if reads_body is None:
            reads_body = method in _BODY_METHODS
        operation = api_operation(
            self._app, endpoint, scope, fields=fields, stream=stream, reads_body=reads_body
        )
        return self._serve(method, path, operation)

    def _serve(self, method: str, path: str, operation: Operation[Any, Any]) -> Route:
        return Route(_ACCOUNT + path, self._handler.serve(operation), methods=[method])
