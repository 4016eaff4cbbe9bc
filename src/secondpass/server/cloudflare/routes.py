"""The paths of this dialect."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
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
from secondpass.server.cloudflare.context import DIALECT, Answer, AppContext, work_of
from secondpass.server.cloudflare.public_routes import Public
from secondpass.server.cloudflare.responses import fail, missing
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work

_ACCOUNT = "/client/v4/accounts/{account}"
_BASES = ("/client/v4", "/cloudflare")
_ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_NAMESPACES = "/ai-search/namespaces"
_OF_NAMESPACE = f"{_NAMESPACES}/{{namespace}}"
# The second is the older form, for the namespace "default".
_INSTANCES = (f"{_OF_NAMESPACE}/instances", "/ai-search/instances")
_LEGACY = "/autorag/rags/{instance}"


class AISearch:
    """Cloudflare AI Search on this server.

    - `routes`: its paths; `public`: what answers without a key, also for paths that other
      dialects share.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler, self._hub = handler, AppContext(handler)
        self.public = Public(handler, self._hub)
        handler.state.background.append(self._hub)

    @property
    def routes(self) -> list[Route]:
        """All paths of this dialect."""
        return [
            *self._namespaces(),
            *(route for base in _INSTANCES for route in self._instances(base)),
            *self._legacy(),
            *self._public(),
            *(Route(f"{base}/{{rest:path}}", self._nothing, methods=_ALL) for base in _BASES),
        ]

    def _namespaces(self) -> list[Route]:
        on, ask = namespace_routes, partial(search_routes.of_namespace, chat=False)
        chat = partial(search_routes.of_namespace, chat=True)
        one = _OF_NAMESPACE
        tokens = "/ai-search/tokens"
        return [
            self._route("POST", _NAMESPACES, on.create, "write"),
            self._route("GET", _NAMESPACES, on.list_them),
            self._route("GET", one, on.get),
            self._route("PUT", one, on.update, "write"),
            self._route("DELETE", one, on.delete, "write"),
            self._route("POST", f"{one}/search", self._search(ask)),
            self._work("POST", f"{one}/chat/completions", self._chat(chat)),
            self._route("GET", tokens, job_routes.list_tokens),
            self._route("POST", tokens, job_routes.refuse_token, "write"),
            *(
                self._route(method, f"{tokens}/{{token}}", job_routes.refuse_token, "write")
                for method in ("GET", "PUT", "DELETE")
            ),
        ]

    def _instances(self, base: str) -> list[Route]:
        on, ask = instance_routes, partial(search_routes.of_instance, chat=False)
        chat = partial(search_routes.of_instance, chat=True)
        one = f"{base}/{{instance}}"
        return [
            self._route("POST", base, on.create, "write"),
            self._route("GET", base, on.list_them),
            self._route("GET", one, on.get),
            self._route("PUT", one, on.update, "write"),
            self._route("DELETE", one, on.delete, "write"),
            self._route("GET", f"{one}/stats", on.stats),
            self._route("POST", f"{one}/search", self._search(ask)),
            self._work("POST", f"{one}/chat/completions", self._chat(chat)),
            *self._items(f"{one}/items"),
            *self._jobs(f"{one}/jobs"),
        ]

    def _items(self, base: str) -> list[Route]:
        on, one = item_routes, f"{base}/{{item}}"
        upload = uploads.upload(self._handler, self._hub)
        by_key = uploads.sync(self._handler, self._hub, by_key=True)
        by_id = uploads.sync(self._handler, self._hub, by_key=False)
        return [
            self._work("POST", base, upload, "write"),
            self._work("PUT", base, by_key, "write"),
            self._work("PATCH", one, by_id, "write"),
            self._route("GET", base, on.list_them),
            self._route("GET", one, on.get),
            self._route("DELETE", one, on.delete, "write"),
            self._route("GET", f"{one}/chunks", on.chunks),
            self._route("GET", f"{one}/logs", on.logs),
            self._route("GET", f"{one}/download", on.download),
        ]

    def _jobs(self, base: str) -> list[Route]:
        on, one = job_routes, f"{base}/{{job}}"
        return [
            self._route("POST", base, on.create, "write"),
            self._route("GET", base, on.list_them),
            self._route("GET", one, on.get),
            self._route("PATCH", one, on.update, "write"),
            self._route("GET", f"{one}/logs", on.logs),
        ]

    def _legacy(self) -> list[Route]:
        answer = autorag.answer_work(self._handler, self._hub)
        return [
            self._route("POST", f"{_LEGACY}/search", autorag.search),
            self._work("POST", f"{_LEGACY}/ai-search", answer),
            self._route("PATCH", f"{_LEGACY}/sync", autorag.sync, "write", reads=False),
        ]

    def _public(self) -> list[Route]:
        base, methods = "/cloudflare/{endpoint}", ["POST", "OPTIONS"]
        search = self.public.endpoint("search")
        chat = self.public.endpoint("chat_completions")
        return [
            Route(f"{base}/search", search, methods=methods),
            Route(f"{base}/chat/completions", chat, methods=methods),
        ]

    def _search(self, ask: search_routes.Ask) -> Answer:
        return lambda call: search_routes.search(self._hub, ask(call))

    def _chat(self, ask: search_routes.Ask) -> Work:
        return search_routes.chat_work(self._handler, self._hub, ask)

    def _route(
        self,
        method: str,
        path: str,
        answer: Answer,
        scope: str = "search",
        *,
        reads: bool | None = None,
    ) -> Route:
        """Return a route whose answer blocks; it reads a body where its method brings one."""
        brings = method in ("POST", "PUT", "PATCH") if reads is None else reads
        work = work_of(self._handler, self._hub, answer, reads=brings, writes=scope == "write")
        return self._work(method, path, work, scope)

    def _work(self, method: str, path: str, work: Work, scope: str = "search") -> Route:
        answer = self._handler.endpoint(DIALECT, fail, scope, work)
        return Route(_ACCOUNT + path, answer, methods=[method])

    async def _nothing(self, request: Request) -> Response:
        async def work(context: RequestContext) -> None:
            path = context.request.url.path[:200]
            raise missing(f"path {path!r} for {context.request.method}")

        return await self._handler.answer(RequestContext(request, DIALECT, fail), work)
