"""The second pass of a query: reranking what the first pass returned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from secondpass.server.request_context import RequestContext
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.get_query import GetQuery, Rerank
from secondpass.server.weaviate.search import HitGroup, SearchHit, group_hits, search

if TYPE_CHECKING:
    from secondpass.server.state import ServerState


def search_and_rerank(
    index: ClassIndex, query: GetQuery, state: ServerState, context: RequestContext
) -> list[SearchHit]:
    """Run both passes of a query and return its hits, best first; blocks.

    Of several second passes the first decides the order. With groups, only their hits are
    reranked, and what is returned is the best hit of each, with its group. Raises HttpError.
    """
    hits, groups = search(index, query), dict[str, list[SearchHit]]()
    if query.group_by is not None:
        groups = group_hits(hits, query.group_by)
        grouped = {id(hit) for group in groups.values() for hit in group}
        hits = [hit for hit in hits if id(hit) in grouped]
    for rerank in query.reranks:
        state.check_count(len(hits), context.caller.max_documents)
        context.documents += len(hits)
        text = query.text if rerank.query is None else rerank.query
        _score(index, hits, rerank, text)
    if query.reranks:
        for ranking in (hits, *groups.values()):
            ranking.sort(key=lambda hit: -hit.rerank_scores[query.reranks[0]])
    if query.group_by is None:
        return hits
    places = {id(hit): place for place, hit in enumerate(hits)}
    order = sorted(groups, key=lambda value: places[id(groups[value][0])])
    name = query.group_by.property.name
    return [
        replace(groups[value][0], group=HitGroup(number, name, value, groups[value]))
        for number, value in enumerate(order)
    ]


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
