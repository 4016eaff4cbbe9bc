"""`/search` and `/v1/search`, which two providers have: told apart by the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from secondpass.server import knowledgesdk
from secondpass.server.answering import Answering
from secondpass.server.body import Body
from secondpass.server.exchange import Exchange, Fail

_CLOUDFLARES = ("messages", "ai_search_options")


@dataclass(frozen=True, slots=True)
class SearchForm:
    """How one provider's search speaks.

    `search` returns what becomes JSON and raises Problem; `fail` has the form of errors.
    """

    name: str
    search: Callable[[Answering, Exchange, Body], Awaitable[Any]]
    fail: Fail


KNOWLEDGESDK = SearchForm("knowledgesdk", knowledgesdk.search, knowledgesdk.fail)


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
        body = await answering.body(exchange)
        form = KNOWLEDGESDK
        if public is not None:
            theirs = told_apart(body, exchange.request.headers) == "cloudflare"
            form = public if theirs else KNOWLEDGESDK
        exchange.dialect, exchange.fail = form.name, form.fail
        return await form.search(answering, exchange, body)

    return answering.handler(KNOWLEDGESDK.name, KNOWLEDGESDK.fail, "search", work)
