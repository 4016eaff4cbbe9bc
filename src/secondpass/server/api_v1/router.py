"""How a route of the own interface is answered: as all others, and described by OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from secondpass.server.api_v1.responses import Failure
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Reply, as_json, read_bytes
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler

_KEY = HTTPBearer(auto_error=False, description="A key that `secondpass keys` made.")


def router(handler: RequestHandler, tag: str, scope: str) -> APIRouter:
    """Return a router whose routes are for callers with this scope."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            return _handler(handler, super().get_route_handler(), scope)

    return APIRouter(
        prefix="/api/v1",
        tags=[tag],
        route_class=Route,
        default_response_class=Reply,
        # For the document; keys are checked before a body is looked at.
        dependencies=[Depends(_KEY)],
        responses={"default": {"model": Failure, "description": "No answer, and why"}},
    )


def _handler(
    handler: RequestHandler,
    inner: Callable[[Request], Coroutine[Any, Any, Response]],
    scope: str,
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def work(context: RequestContext) -> Response:
        request = context.request
        # Before anything is said of the body.
        context.caller = handler.check(request, scope)
        content = await read_bytes(
            request,
            most=handler.most_bytes(context),
            depth=handler.state.settings.max_depth,
        )
        again = Request(as_json(request.scope), _again(content, request.receive))
        again.state.context = context
        try:
            return await inner(again)
        except RequestValidationError as error:
            raise invalid(_told(error)) from error
        except HTTPException as error:
            raise HttpError(error.status_code, "invalid", "the body is not JSON") from error

    async def handle(request: Request) -> Response:
        return await handler.answer(RequestContext(request, "native", _fail), work)

    return handle


def _again(content: bytes, receive: Receive) -> Receive:
    """Give a body that was read already once more, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _fail(problem: HttpError, request: str) -> dict[str, Any]:
    return asdict(Failure(problem.kind, problem.message, request))


def _told(error: RequestValidationError) -> str:
    lines = (f"{_where(one['loc'])}: {one['msg']}" for one in error.errors()[:10])
    return "; ".join(lines)[:1000]


def _where(location: tuple[Any, ...]) -> str:
    # The first says only that it is the body, or the path.
    return ".".join(map(str, location[1:])) or "the body"


def _context(request: Request) -> RequestContext:
    found: RequestContext = request.state.context
    return found


Asking = Annotated[RequestContext, Depends(_context)]
"""The exchange, as an argument of a route."""
