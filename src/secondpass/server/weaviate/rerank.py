"""The second pass of a query: reranking what the first pass returned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secondpass.server.request_context import RequestContext
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.get_query import GetQuery, Rerank
from secondpass.server.weaviate.search import SearchHit, search

if TYPE_CHECKING:
    from secondpass.server.state import ServerState


def search_and_rerank(
    index: ClassIndex, query: GetQuery, state: ServerState, context: RequestContext
) -> list[SearchHit]:
    """Run both passes of a query and return its hits, best first; blocks.

    Of several second passes the first decides the order. Raises HttpError.
    """
    hits = search(index, query)
    for rerank in query.reranks:
        state.check_count(len(hits), context.caller.max_documents)
        context.documents += len(hits)
        text = query.text if rerank.query is None else rerank.query
        _score(index, hits, rerank, text)
    if query.reranks:
        hits.sort(key=lambda hit: -hit.rerank_scores[query.reranks[0]])
    return hits


def _score(index: ClassIndex, hits: Sequence[SearchHit], rerank: Rerank, query: str) -> None:
    """Score one property of each object; a missing one counts as an empty text."""
    texts = [_to_text(hit.properties.get(rerank.property or "")) for hit in hits]
    if not texts:
        return
    response = index.reranker().rerank(query, texts, return_documents=False)
    for result in response.results:
        hits[result.index].rerank_scores[rerank] = result.score


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(_to_text, value))
    return json.dumps(value, ensure_ascii=False)
