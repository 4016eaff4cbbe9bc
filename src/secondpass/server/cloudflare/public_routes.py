"""Endpoints that need no key, of instances and namespaces that say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from secondpass.server.cloudflare.chat import Chat
from secondpass.server.cloudflare.context import DIALECT, AppContext
from secondpass.server.cloudflare.public_access import Endpoint, not_found
from secondpass.server.cloudflare.responses import fail
from secondpass.server.cloudflare.search_plan import question_of
from secondpass.server.cloudflare.search_request import SearchCall
from secondpass.server.cloudflare.search_routes import answer_chat, read, search, several
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler

Kind = Literal["search", "chat_completions"]
_ENDPOINT = "cloudflare_endpoint"


class Public:
    """Answers searches and chats without a key.

    Whose endpoint is meant: the one whose id stands in the path as `endpoint`, or else the
    one of the host in the request, see `Endpoints.of_host`.
    """

    def __init__(self, handler: RequestHandler, hub: AppContext) -> None:
        self._handler, self._hub = handler, hub

    async def search(self, context: RequestContext, body: Mapping[str, Any]) -> Response:
        """Return the chunks for a question; `body` is the JSON object that was sent."""
        endpoint = await self._endpoint(context, "search")

        def found() -> Response:
            return search(self._hub, self._request(endpoint, body, chat=False))

        return _open(await self._handler.done(context, found), endpoint, context.request)

    async def chat(self, context: RequestContext, body: Mapping[str, Any]) -> Response:
        """Return an answer to a question, whole or as a stream."""
        endpoint = await self._endpoint(context, "chat_completions")

        def begin() -> Chat:
            return Chat(self._hub, self._request(endpoint, body, chat=True))

        stream = body.get("stream") is True
        response = await answer_chat(self._handler, context, stream, begin)
        return _open(response, endpoint, context.request)

    def endpoint(self, kind: Kind) -> Callable[[HttpRequest], Awaitable[Response]]:
        """Return what answers a path of this dialect's own."""
        answer = self.search if kind == "search" else self.chat

        async def work(context: RequestContext) -> Any:
            if context.request.method == "OPTIONS":
                return await self._preflight(context, kind)
            return await answer(context, (await self._handler.body(context)).found)

        async def handle(request: HttpRequest) -> Response:
            response = await self._handler.answer(RequestContext(request, DIALECT, fail), work)
            endpoint = getattr(request.state, _ENDPOINT, None)
            # A page must be able to read why it got no answer.
            return response if endpoint is None else _open(response, endpoint, request)

        return handle

    async def _preflight(self, context: RequestContext, kind: Kind) -> Response:
        endpoint = await self._endpoint(context, kind, count=False)
        response = _open(Response(status_code=204), endpoint, context.request)
        response.headers["access-control-allow-methods"] = "POST, OPTIONS"
        response.headers["access-control-allow-headers"] = "content-type"
        response.headers["access-control-max-age"] = "3600"
        return response

    async def _endpoint(
        self, context: RequestContext, kind: Kind, *, count: bool = True
    ) -> Endpoint:
        number = context.request.path_params.get("endpoint")
        host = context.request.headers.get("host", "")
        endpoints = self._hub.endpoints
        _ = self._hub.catalog
        found = await self._handler.done(
            context,
            lambda: endpoints.of_host(host) if number is None else endpoints.find(number),
        )
        setattr(context.request.state, _ENDPOINT, found)
        searches = found.params.get("search_endpoint", {})
        chats = found.params.get("chat_completions_endpoint", {})
        if (searches if kind == "search" else chats).get("disabled", False):
            raise not_found()
        if count:
            self._hub.rates.take(found.id, found.params.get("rate_limit", {}))
        return found

    def _request(
        self, endpoint: Endpoint, body: Mapping[str, Any], *, chat: bool
    ) -> SearchCall:
        sent = read(body)
        tenant, namespace = endpoint.tenant, endpoint.namespace
        if not endpoint.several:
            instance = self._hub.instance(tenant, namespace, endpoint.instances[0])
            question = question_of(sent, messages_needed=chat)
            options = sent.get("ai_search_options", {})
            return SearchCall([instance], question, options, model=sent.get("model", ""))
        names = sent.get("ai_search_options", {}).get("instance_ids", endpoint.instances)
        if not names or not set(names) <= set(endpoint.instances):
            raise not_found()
        return several(self._hub, tenant, namespace, list(names), sent, chat=chat)


def _open(response: Response, endpoint: Endpoint, request: HttpRequest) -> Response:
    """Let pages of other origins read the answer, those that the endpoint names."""
    origin = request.headers.get("origin")
    hosts = [host.lower() for host in endpoint.params.get("authorized_hosts", [])]
    response.headers["vary"] = "Origin"
    if not hosts:
        response.headers["access-control-allow-origin"] = "*"
    elif origin is not None and _host(origin) in hosts:
        response.headers["access-control-allow-origin"] = origin
    return response


def _host(origin: str) -> str:
    return origin.rpartition("//")[2].partition(":")[0].lower()
