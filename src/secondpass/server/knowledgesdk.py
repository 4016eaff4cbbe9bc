"""KnowledgeSDK's search endpoint, in a response that all of its clients understand.

`/search` and `/v1/search` are shared with a second provider, whose operation `routes` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from starlette.routing import Route

from secondpass.inference.unicode import clean
from secondpass.option_types import Count, Flag
from secondpass.server.access.api_keys import key_in
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import (
    Honored,
    NoEffect,
    RequestFields,
    choose_by_fields,
)
from secondpass.server.request_handler import Operation, RequestHandler, SharedPath
from secondpass.server.result_fields import json_value, relevance_score, source_url
from secondpass.server.state import ServerState
from secondpass.types import RankedDocument

DIALECT = "knowledgesdk"
_DEFAULT_LIMIT = 10
_CANDIDATES = 50
_SNIPPET_CHARACTERS = 200
# Without a key no more is read to find out whether it is for a public endpoint.
_MAX_KEYLESS_BODY = 65_536
_CLOUDFLARE_KEYS = ("messages", "ai_search_options")


_FIELDS = RequestFields(
    "KnowledgeSDK",
    "/knowledgesdk/v1/search",
    {
        "query": Honored("the query", required=True),
        "limit": Honored("how many results are returned", Count()),
        "apiKeyId": NoEffect("what may be searched is what the API key of the header may"),
        "index": Honored("the index, by name; not a field of KnowledgeSDK"),
        "mode": Honored("hybrid, bm25 or vector; not a field of KnowledgeSDK"),
        "rerank": Honored("whether to rerank; not a field of KnowledgeSDK", Flag()),
    },
    lenient=False,
)


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A query for an index, the default one where `index` is None; see `Index.search`."""

    query: str
    limit: int
    index: str | None
    mode: str
    rerank: bool


def parse_search(context: RequestContext, body: Body) -> SearchRequest:
    """Parse a request; raises HttpError (400).

    No client of KnowledgeSDK sends `index`, `mode` and `rerank`, which are ours.
    """
    query, limit = clean(body.text("query")), body.count("limit")
    if not query.strip():
        raise invalid("query is blank")
    return SearchRequest(
        query,
        limit=_DEFAULT_LIMIT if limit is None else limit,
        index=body.maybe_text("index"),
        mode=body.text("mode", "hybrid"),
        rerank=body.flag("rerank", True),
    )


def run_search(
    state: ServerState, context: RequestContext, request: SearchRequest
) -> list[RankedDocument]:
    """Search an index; blocks. Raises HttpError for an index that is not there."""
    limit, caller = request.limit, context.caller
    max_limit = state.max_documents(caller.max_documents)
    if limit > max_limit:
        raise invalid(f"limit must be at most {max_limit}, not {limit}")
    catalog = state.catalog
    if request.index is None:
        served = catalog.default(caller.tenant)
    else:
        served = catalog.find(caller.tenant, request.index)
    response = served.source.search(
        request.query,
        mode=request.mode,
        candidates=max(_CANDIDATES, limit),
        top_k=limit,
        rerank=request.rerank,
    )
    context.documents = response.usage.scored
    context.warnings += response.warnings
    return list(response.results)


def write_results(
    context: RequestContext, request: SearchRequest, results: list[RankedDocument]
) -> dict[str, Any]:
    """Return the response; its clients read either `hits` or `results`."""
    items = [_item(result) for result in results]
    return {"query": request.query, "total": len(items), "hits": items, "results": items}


def _item(result: RankedDocument) -> dict[str, Any]:
    document = result.document
    assert document is not None
    metadata = document.metadata
    url, category = source_url(metadata), metadata.get("category")
    return {
        "id": result.id,
        "title": document.title,
        "content": document.text,
        "snippet": _snippet(document.text),
        "category": clean(category) if isinstance(category, str) else None,
        "source": url,
        "url": url,
        "sourceUrl": url,
        "score": min(1.0, max(0.0, relevance_score(result))),
        "metadata": json_value(metadata),
    }


def _snippet(text: str) -> str:
    words = " ".join(text[: 2 * _SNIPPET_CHARACTERS].split())
    if len(words) <= _SNIPPET_CHARACTERS:
        return words
    return words[: _SNIPPET_CHARACTERS - 1].rpartition(" ")[0] + "…"


def error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error; `code` is a short word."""
    try:
        reason = HTTPStatus(error.status).phrase
    except ValueError:
        reason = "Error"
    return {
        "statusCode": error.status,
        "error": reason,
        "message": error.message,
        "code": error.kind.replace(" ", "_"),
    }


SEARCH = Operation(
    dialect=DIALECT,
    fail=error_body,
    scope="search",
    fields=_FIELDS,
    parse=parse_search,
    run=run_search,
    respond=write_results,
)


def routes(
    handler: RequestHandler, *, public: Operation[Any, Any] | None = None
) -> list[Route]:
    """Return the routes.

    `public` is Cloudflare's search without a key, where it is served: it raises 404 where no
    public endpoint was enabled.
    """
    own = handler.serve(SEARCH)
    shared = own if public is None else handler.serve_shared(_shared_path(public))
    paths = {
        "/search": shared,
        "/v1/search": shared,
        "/knowledgesdk/search": own,
        "/knowledgesdk/v1/search": own,
    }
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in paths.items()]


def _shared_path(public: Operation[Any, Any]) -> SharedPath:
    def choose(body: Body, headers: Mapping[str, str]) -> list[Operation[Any, Any]]:
        if public.fields is not None and key_in(headers) is None:
            # An error where fields of both are in one body.
            choose_by_fields(body, [_FIELDS, public.fields])
        if key_in(headers) is not None or choose_dialect(body, headers) == DIALECT:
            return [SEARCH]
        # A bare query may be meant for either, if no public endpoint was enabled.
        return [public] if body.has(*_CLOUDFLARE_KEYS) else [public, SEARCH]

    return SharedPath(
        choose,
        "search",
        max_keyless_body=_MAX_KEYLESS_BODY,
        dialect=DIALECT,
        fail=error_body,
        operations=(SEARCH, public),
    )


def choose_dialect(
    body: Body, headers: Mapping[str, str]
) -> Literal["knowledgesdk", "cloudflare"]:
    """Return the dialect of a request to `/search`; the first rule that fits decides."""
    if "x-api-key" in headers:
        return "knowledgesdk"
    if body.has(*_CLOUDFLARE_KEYS):
        return "cloudflare"
    return "knowledgesdk" if body.has("limit") else "cloudflare"
