"""FastAPI routers whose requests go through the `RequestHandler` like all others.

The handler authorizes and reads the body; FastAPI then validates it and calls the route, which
gets the request's `RequestContext` as an argument.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from secondpass.server.api_v1.responses import Failure, error_body
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Reply, as_json, json_bytes
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import BodyReader, Endpoint, Operation, RequestHandler

_FAILURE = {
    "application/json": {"schema": {"$ref": f"#/components/schemas/{Failure.__name__}"}}
}
_KEY = HTTPBearer(auto_error=False, description="A key that `secondpass keys` made.")


def make_router(
    handler: RequestHandler, tag: str, scope: str | None, *, read: BodyReader = json_bytes
) -> APIRouter:
    """Build a router whose routes are for callers with this scope; None is any key.

    `read` reads bodies that are not JSON.
    """

    class HandledRoute(APIRoute):
        def get_route_handler(self) -> Endpoint:
            return handler.serve(_operation(super().get_route_handler(), scope, read))

    return APIRouter(
        prefix="/api/v1",
        tags=[tag],
        route_class=HandledRoute,
        default_response_class=Reply,
        # For the OpenAPI document only: the handler has checked the key before.
        dependencies=[Depends(_KEY)],
        # As JSON, whatever the media type of the answer.
        responses={"default": {"description": "No answer, and why", "content": _FAILURE}},
    )


def _operation(
    route: Endpoint, scope: str | None, read: BodyReader
) -> Operation[bytes, Response]:
    async def call_route(context: RequestContext, content: bytes) -> Response:
        request = context.request
        asgi = as_json(request.scope) if read is json_bytes else request.scope
        replayed = Request(asgi, _replay(content, request.receive))
        replayed.state.context = context
        try:
            return await route(replayed)
        except RequestValidationError as error:
            raise invalid(_validation_message(error)) from error
        except HTTPException as error:
            raise HttpError(error.status_code, "invalid", "the body is not JSON") from error

    return Operation(
        dialect="native", fail=error_body, scope=scope, read=read, run_async=call_route
    )


def _replay(content: bytes, receive: Receive) -> Receive:
    """Return a body that was read already once more, then the messages after it."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _validation_message(error: RequestValidationError) -> str:
    lines = (f"{_location(one['loc'])}: {one['msg']}" for one in error.errors()[:10])
    return "; ".join(lines)[:1000]


def _location(location: tuple[Any, ...]) -> str:
    # The first part says only whether it is the body, the path or the query string.
    return ".".join(map(str, location[1:])) or "the body"


def _context(request: Request) -> RequestContext:
    found: RequestContext = request.state.context
    return found


Context = Annotated[RequestContext, Depends(_context)]
"""The context of the request, as an argument of a route."""
