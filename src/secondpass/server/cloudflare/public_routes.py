"""Public endpoints: searches and chat completions without an API key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from secondpass.server.cloudflare.context import DIALECT, AppContext
from secondpass.server.cloudflare.conversation import parse_conversation
from secondpass.server.cloudflare.public_access import PublicEndpoint, endpoint_not_found
from secondpass.server.cloudflare.responses import fail
from secondpass.server.cloudflare.schemas import SEARCH_FIELDS
from secondpass.server.cloudflare.search_request import (
    SearchRequest,
    parse_body,
    search_of_instance,
    search_of_instances,
)
from secondpass.server.cloudflare.search_routes import (
    chat_response,
    search_response,
    stream_chat,
)
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation
from secondpass.server.state import ServerState
from secondpass.server.streaming import EventStream

EndpointKind = Literal["search", "chat_completions"]
_STATE_KEY = "cloudflare_endpoint"


@dataclass(frozen=True, slots=True)
class PublicRequest:
    """A request to a public endpoint, with its JSON body."""

    endpoint: PublicEndpoint
    body: Mapping[str, Any]


class PublicApi:
    """The operations of public endpoints, also for paths that other dialects share.

    The endpoint is the one whose id is in the path as `endpoint`, or else the one of the Host
    header, see `PublicEndpoints.find_by_host`.
    """

    def __init__(self, app: AppContext) -> None:
        self._app = app

    @property
    def search_operation(self) -> Operation[PublicRequest, Response]:
        """The operation that searches; its `check` raises 404 if no endpoint is enabled."""
        return Operation(
            dialect=DIALECT,
            fail=fail,
            scope=None,
            keyless=True,
            check=partial(self._check, "search"),
            fields=SEARCH_FIELDS,
            parse=_parse_request,
            run=self._search,
            finish=add_cors_headers,
        )

    @property
    def chat_operation(self) -> Operation[PublicRequest, Response]:
        """The operation that answers, as one body or as a stream."""
        return Operation(
            dialect=DIALECT,
            fail=fail,
            scope=None,
            keyless=True,
            check=partial(self._check, "chat_completions"),
            fields=SEARCH_FIELDS,
            parse=_parse_request,
            run=self._chat,
            timeout=self._app.write_timeout,
            wants_stream=lambda request: request.body.get("stream") is True,
            stream=self._stream_chat,
            finish=add_cors_headers,
        )

    def preflight_operation(self, kind: EndpointKind) -> Operation[None, None]:
        """Build the operation that tells browsers whether their page may call an endpoint."""
        return Operation(
            dialect=DIALECT,
            fail=fail,
            scope=None,
            keyless=True,
            check=partial(self._check_exists, kind),
            read=None,
            respond=lambda context, query, result: _preflight_response(),
            finish=add_cors_headers,
        )

    def _check(self, kind: EndpointKind, state: ServerState, context: RequestContext) -> None:
        """Find the endpoint and count the request; raises HttpError (404 or 429)."""
        endpoint = self._find_endpoint(kind, state, context)
        self._app.rate_limits.take(endpoint.id, endpoint.settings.get("rate_limit", {}))

    def _check_exists(
        self, kind: EndpointKind, state: ServerState, context: RequestContext
    ) -> None:
        """Find the endpoint; raises HttpError (404)."""
        self._find_endpoint(kind, state, context)

    def _find_endpoint(
        self, kind: EndpointKind, state: ServerState, context: RequestContext
    ) -> PublicEndpoint:
        """Find the endpoint of a request and attach it; raises HttpError (404 or 503)."""
        # Raises the error of a server that is loading, or has no folder for instances.
        _ = state.catalog
        endpoints, request = self._app.public_endpoints, context.request
        endpoint_id = request.path_params.get("endpoint")
        if endpoint_id is None:
            endpoint = endpoints.find_by_host(request.headers.get("host", ""))
        else:
            endpoint = endpoints.find(endpoint_id)
        setattr(request.state, _STATE_KEY, endpoint)
        context.owner = endpoint.tenant
        searches = endpoint.settings.get("search_endpoint", {})
        chats = endpoint.settings.get("chat_completions_endpoint", {})
        if (searches if kind == "search" else chats).get("disabled", False):
            raise endpoint_not_found()
        return endpoint

    def _search(
        self, state: ServerState, context: RequestContext, request: PublicRequest
    ) -> Response:
        return search_response(self._app, self._parse_search(request, chat=False))

    def _chat(
        self, state: ServerState, context: RequestContext, request: PublicRequest
    ) -> Response:
        return chat_response(self._app, self._parse_search(request, chat=True))

    def _stream_chat(
        self, state: ServerState, context: RequestContext, request: PublicRequest
    ) -> EventStream:
        return stream_chat(self._app, self._parse_search(request, chat=True))

    def _parse_search(self, request: PublicRequest, *, chat: bool) -> SearchRequest:
        body = parse_body(request.body)
        endpoint = request.endpoint
        tenant, namespace = endpoint.tenant, endpoint.namespace
        if not endpoint.several:
            instance = self._app.instance(tenant, namespace, endpoint.instances[0])
            conversation = parse_conversation(body, require_messages=chat)
            return search_of_instance(instance, conversation, body)
        names = body.get("ai_search_options", {}).get("instance_ids", endpoint.instances)
        if not names or not set(names) <= set(endpoint.instances):
            raise endpoint_not_found()
        conversation = parse_conversation(body, require_messages=chat)
        return search_of_instances(self._app, tenant, namespace, names, conversation, body)


def _parse_request(context: RequestContext, body: Body) -> PublicRequest:
    endpoint = _attached_endpoint(context.request)
    assert endpoint is not None
    return PublicRequest(endpoint, body.fields)


def _attached_endpoint(request: Request) -> PublicEndpoint | None:
    endpoint: PublicEndpoint | None = getattr(request.state, _STATE_KEY, None)
    return endpoint


def _preflight_response() -> Response:
    headers = {
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-allow-headers": "content-type",
        "access-control-max-age": "3600",
    }
    return Response(status_code=204, headers=headers)


def add_cors_headers(context: RequestContext, response: Response) -> Response:
    """Let pages of the endpoint's authorized hosts read a response, errors included."""
    endpoint = _attached_endpoint(context.request)
    if endpoint is None:
        return response
    origin = context.request.headers.get("origin")
    hosts = [host.lower() for host in endpoint.settings.get("authorized_hosts", [])]
    response.headers["vary"] = "Origin"
    if not hosts:
        response.headers["access-control-allow-origin"] = "*"
    elif origin is not None and _host_of(origin) in hosts:
        response.headers["access-control-allow-origin"] = origin
    return response


def _host_of(origin: str) -> str:
    return origin.rpartition("//")[2].partition(":")[0].lower()
