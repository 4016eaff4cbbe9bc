"""KnowledgeSDK's search, in an answer that its clients all understand.

`/search` and `/v1/search`, which two providers have: told apart by the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from secondpass.inference.tokenizer import clean
from secondpass.server.access.api_keys import key_in
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import Fail, RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.result_fields import json_value, relevance_score, source_url
from secondpass.types import RankedDocument

DIALECT = "knowledgesdk"
_LIMIT = 10
_CANDIDATES = 50
_SNIPPET = 200


async def search(
    handler: RequestHandler, context: RequestContext, body: Body
) -> dict[str, Any]:
    """Search an index: the default one, unless the request names an `index`.

    `mode` and `rerank` are those of `Index.search`; no client of KnowledgeSDK sends these
    three. Raises Problem.
    """
    query, limit = clean(body.text("query")), body.count("limit")
    if not query.strip():
        raise invalid("query is blank")
    limit = _LIMIT if limit is None else limit
    own = context.caller.max_documents
    most = handler.state.settings.max_documents
    most = most if own is None else min(most, own)
    if limit > most:
        raise invalid(f"limit must be at most {most}, not {limit}")
    name, mode = body.maybe_text("index"), body.text("mode", "hybrid")
    rerank = body.flag("rerank", True)

    def found() -> list[RankedDocument]:
        catalog, tenant = handler.state.catalog, context.caller.tenant
        chosen = catalog.default(tenant) if name is None else catalog.find(tenant, name)
        response = chosen.index.search(
            query,
            mode=mode,
            candidates=max(_CANDIDATES, limit),
            top_k=limit,
            rerank=rerank,
        )
        context.documents = response.usage.scored
        return list(response.results)

    items = [_item(one) for one in await handler.done(context, found)]
    return {"query": query, "total": len(items), "hits": items, "results": items}


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return an error; `code` is a short word."""
    try:
        reason = HTTPStatus(problem.status).phrase
    except ValueError:
        reason = "Error"
    return {
        "statusCode": problem.status,
        "error": reason,
        "message": problem.message,
        "code": problem.kind.replace(" ", "_"),
    }


def _item(result: RankedDocument) -> dict[str, Any]:
    document = result.document
    assert document is not None
    metadata = document.metadata
    url, category = source_url(metadata), metadata.get("category")
    return {
        "id": result.id,
        "title": document.title,
        "content": document.text,
        "snippet": _beginning(document.text),
        "category": clean(category) if isinstance(category, str) else None,
        "source": url,
        "url": url,
        "sourceUrl": url,
        "score": min(1.0, max(0.0, relevance_score(result))),
        "metadata": json_value(metadata),
    }


def _beginning(text: str) -> str:
    words = " ".join(text[: 2 * _SNIPPET].split())
    if len(words) <= _SNIPPET:
        return words
    return words[: _SNIPPET - 1].rpartition(" ")[0] + "…"


_CLOUDFLARES = ("messages", "ai_search_options")


@dataclass(frozen=True, slots=True)
class SearchForm:
    """How a search speaks that needs no key.

    `search` returns what becomes JSON, or raises Problem: 404 where nobody switched it on;
    `fail` has the form of errors.
    """

    name: str
    search: Callable[[RequestContext, Mapping[str, Any]], Awaitable[Any]]
    fail: Fail


def told_apart(body: Body, headers: Mapping[str, str]) -> Literal["knowledgesdk", "cloudflare"]:
    """Return whose request it is; the first rule that fits decides."""
    if "x-api-key" in headers:
        return "knowledgesdk"
    if body.has(*_CLOUDFLARES):
        return "cloudflare"
    return "knowledgesdk" if body.has("limit") else "cloudflare"


def routes(handler: RequestHandler, *, public: SearchForm | None = None) -> list[Route]:
    """Return the routes; `public` is Cloudflare's public form, where it is served."""
    alone, both = _endpoint(handler, None), _endpoint(handler, public)
    paths = {
        "/search": both,
        "/v1/search": both,
        "/knowledgesdk/search": alone,
        "/knowledgesdk/v1/search": alone,
    }
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in paths.items()]


def _endpoint(
    handler: RequestHandler, public: SearchForm | None
) -> Callable[[Request], Awaitable[Response]]:
    async def work(context: RequestContext) -> Any:
        headers = context.request.headers
        anonymous = key_in(headers) is None
        if not anonymous:
            context.caller = handler.check(context.request, "search")
        body = await handler.body(context)
        if public is not None and anonymous and told_apart(body, headers) == "cloudflare":
            context.dialect, context.fail = public.name, public.fail
            try:
                # Who switched an endpoint on let everybody in: no key is asked for.
                return await public.search(context, body.found)
            except HttpError as problem:
                if problem.status != 404 or body.has(*_CLOUDFLARES):
                    raise
        context.dialect, context.fail = DIALECT, fail
        if anonymous:
            context.caller = handler.check(context.request, "search")
        return await search(handler, context, body)

    async def answer(request: Request) -> Response:
        context = RequestContext(request, DIALECT, fail)
        return await handler.answer(context, work)

    return answer
