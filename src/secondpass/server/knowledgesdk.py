"""KnowledgeSDK's search, in an answer that its clients all understand."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.server.exchange import Exchange
from secondpass.server.http_errors import Problem, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_handler import Answering
from secondpass.server.rerank_dialects.schemas import share
from secondpass.server.sources import as_json, source_url
from secondpass.types import RankedDocument

DIALECT = "knowledgesdk"
_LIMIT = 10
_CANDIDATES = 50
_SNIPPET = 200


async def search(answering: Answering, exchange: Exchange, body: Body) -> dict[str, Any]:
    """Search an index: the default one, unless the request names an `index`.

    `mode` and `rerank` are those of `Index.search`; no client of KnowledgeSDK sends these
    three. Raises Problem.
    """
    query, limit = clean(body.text("query")), body.count("limit")
    if not query.strip():
        raise invalid("query is blank")
    limit = _LIMIT if limit is None else limit
    own = exchange.caller.max_documents
    most = answering.service.settings.max_documents
    most = most if own is None else min(most, own)
    if limit > most:
        raise invalid(f"limit must be at most {most}, not {limit}")
    name, mode = body.maybe_text("index"), body.text("mode", "hybrid")
    rerank = body.flag("rerank", True)

    def found() -> list[RankedDocument]:
        collections, tenant = answering.service.collections, exchange.caller.tenant
        chosen = collections.default(tenant) if name is None else collections.find(tenant, name)
        response = chosen.index.search(
            query,
            mode=mode,
            candidates=max(_CANDIDATES, limit),
            top_k=limit,
            rerank=rerank,
        )
        exchange.documents = response.usage.scored
        return list(response.results)

    items = [_item(one) for one in await answering.done(exchange, found)]
    return {"query": query, "total": len(items), "hits": items, "results": items}


def fail(problem: Problem, request: str) -> dict[str, Any]:
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
        "score": min(1.0, max(0.0, share(result))),
        "metadata": as_json(metadata),
    }


def _beginning(text: str) -> str:
    words = " ".join(text[: 2 * _SNIPPET].split())
    if len(words) <= _SNIPPET:
        return words
    return words[: _SNIPPET - 1].rpartition(" ")[0] + "…"
