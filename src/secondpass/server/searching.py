"""`/search` and `/v1/search`, which two providers have: told apart by the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from secondpass.server import knowledgesdk
from secondpass.server.access.credentials import key_in
from secondpass.server.exchange import Exchange, Fail
from secondpass.server.http_errors import Problem
from secondpass.server.http_json import Body
from secondpass.server.request_handler import Answering

_CLOUDFLARES = ("messages", "ai_search_options")


@dataclass(frozen=True, slots=True)
class SearchForm:
    """How a search speaks that needs no key.

    `search` returns what becomes JSON, or raises Problem: 404 where nobody switched it on;
    `fail` has the form of errors.
    """

    name: str
    search: Callable[[Exchange, Mapping[str, Any]], Awaitable[Any]]
    fail: Fail


def told_apart(body: Body, headers: Mapping[str, str]) -> Literal["knowledgesdk", "cloudflare"]:
    """Return whose request it is; the first rule that fits decides."""
    if "x-api-key" in headers:
        return "knowledgesdk"
    if body.has(*_CLOUDFLARES):
        return "cloudflare"
    return "knowledgesdk" if body.has("limit") else "cloudflare"


def routes(answering: Answering, *, public: SearchForm | None = None) -> list[Route]:
    """Return the routes; `public` is Cloudflare's public form, where it is served."""
    alone, both = _endpoint(answering, None), _endpoint(answering, public)
    paths = {
        "/search": both,
        "/v1/search": both,
        "/knowledgesdk/search": alone,
        "/knowledgesdk/v1/search": alone,
    }
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in paths.items()]


def _endpoint(
    answering: Answering, public: SearchForm | None
) -> Callable[[Request], Awaitable[Response]]:
    async def work(exchange: Exchange) -> Any:
        headers = exchange.request.headers
        anonymous = key_in(headers) is None
        if not anonymous:
            exchange.caller = answering.check(exchange.request, "search")
        body = await answering.body(exchange)
        if public is not None and anonymous and told_apart(body, headers) == "cloudflare":
            exchange.dialect, exchange.fail = public.name, public.fail
            try:
                # Who switched an endpoint on let everybody in: no key is asked for.
                return await public.search(exchange, body.found)
            except Problem as problem:
                if problem.status != 404 or body.has(*_CLOUDFLARES):
                    raise
        exchange.dialect, exchange.fail = knowledgesdk.DIALECT, knowledgesdk.fail
        if anonymous:
            exchange.caller = answering.check(exchange.request, "search")
        return await knowledgesdk.search(answering, exchange, body)

    async def answer(request: Request) -> Response:
        exchange = Exchange(request, knowledgesdk.DIALECT, knowledgesdk.fail)
        return await answering.answer(exchange, work)

    return answer
