"""Operations of this dialect: how an endpoint is authorized, parsed, run and streamed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from secondpass.server.cloudflare.context import DIALECT, ApiRequest, AppContext
from secondpass.server.cloudflare.responses import fail
from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body, json_object
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import RequestFields
from secondpass.server.request_handler import Operation
from secondpass.server.state import ServerState
from secondpass.server.streaming import EventStream, data

Endpoint = Callable[[ApiRequest], Any]
"""Returns JSON content or a Response; blocks. Raises HttpError."""
StreamEndpoint = Callable[[ApiRequest], EventStream]
"""Starts a response in server-sent events; blocks. Raises HttpError."""


def api_operation(
    app: AppContext,
    endpoint: Endpoint,
    scope: str = "search",
    *,
    reads_body: bool,
    fields: RequestFields | None = None,
    stream: StreamEndpoint | None = None,
) -> Operation[ApiRequest, Any]:
    """Build the operation of an endpoint that requires this scope.

    `stream` is called instead of `endpoint` where the body says `"stream": true`. Endpoints
    that write or generate an answer have the longer timeout for writes.
    """
    slow = scope == "write" or stream is not None
    return Operation(
        dialect=DIALECT,
        fail=fail,
        scope=scope,
        read=json_object if reads_body else None,
        fields=fields,
        parse=partial(parse_request, app),
        run=partial(_run, endpoint),
        timeout=app.write_timeout if slow else None,
        wants_stream=wants_stream,
        stream=None if stream is None else partial(_run, stream),
    )


def parse_request(app: AppContext, context: RequestContext, body: Body | None) -> ApiRequest:
    """Return the request of a path and its JSON body, None where the path reads none."""
    return ApiRequest(app, context, {} if body is None else body.fields)


def _run(
    endpoint: Callable[[ApiRequest], Any],
    state: ServerState,
    context: RequestContext,
    request: ApiRequest,
) -> Any:
    with request.not_found_if_deleted():
        return endpoint(request)


def wants_stream(request: ApiRequest) -> bool:
    """Return whether a body asks for server-sent events."""
    return request.body.get("stream") is True


def fail_event(error: HttpError) -> str:
    """Return the last event of a stream that failed."""
    return data(fail(error, ""))
