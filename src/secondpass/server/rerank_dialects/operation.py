"""The operation behind every rerank path: parse, rerank, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from secondpass.server.http_errors import default_error
from secondpass.server.http_json import Body
from secondpass.server.request_context import Fail, RequestContext
from secondpass.server.request_fields import RequestFields
from secondpass.server.request_handler import Operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.state import ServerState
from secondpass.types import RerankResponse

RerankOperation = Operation[RerankRequest, RerankResponse]
_NO_STATUSES: Mapping[str, int] = {}
# How often texts are cut until the model reads to their ends: one cut is enough, unless the end
# has longer tokens than the beginning, or shorter ones.
_CUTS = 2


def rerank_operation(
    dialect: str,
    fields: RequestFields,
    parse: Callable[[Body], RerankRequest],
    write: Callable[[RerankReply], Any],
    fail: Fail = default_error,
    statuses: Mapping[str, int] = _NO_STATUSES,
) -> RerankOperation:
    """Build the operation of a dialect's rerank endpoint.

    `parse` raises HttpError for a body that cannot be used; `write` returns JSON content.
    Warnings are in the response header, and in an object without `meta` also in `warnings`.
    """

    def respond(
        context: RequestContext, request: RerankRequest, response: RerankResponse
    ) -> Any:
        context.warnings += response.warnings
        content = write(RerankReply(request, response, context.id, context.warnings))
        if context.warnings and isinstance(content, dict) and "meta" not in content:
            content["warnings"] = list(context.warnings)
        return content

    return Operation(
        dialect=dialect,
        fail=fail,
        statuses=statuses,
        scope="rerank",
        fields=fields,
        parse=lambda context, body: parse(body),
        documents=lambda request: len(request.documents),
        run=rerank,
        respond=respond,
    )


def rerank(
    state: ServerState, context: RequestContext, request: RerankRequest
) -> RerankResponse:
    """Rerank the documents of a request; blocks."""
    documents = list(request.documents)
    for _ in range(_CUTS if request.from_end else 0):
        response = _rerank(state, request, documents)
        unread = [result for result in response.results if result.unread]
        if not unread:
            break
        # What the model reads is counted in tokens: so many characters fit about into it.
        for result in unread:
            documents[result.index] = documents[result.index][result.unread :]
    else:
        response = _rerank(state, request, documents)
    return _with_cuts(context, request, response, documents)


def _rerank(
    state: ServerState, request: RerankRequest, documents: Sequence[str]
) -> RerankResponse:
    return state.rerank(
        request.query, documents, model=request.model, top_k=request.top_n, **request.reading
    )


def _with_cuts(
    context: RequestContext,
    request: RerankRequest,
    response: RerankResponse,
    documents: Sequence[str],
) -> RerankResponse:
    """Return a response in which the beginnings that were cut off count as not read."""
    cuts = [
        len(whole) - len(read) for whole, read in zip(request.documents, documents, strict=True)
    ]
    if not any(cuts):
        return response
    context.warnings += ("Of the documents that are not read whole, the ends are read.",)
    unread = [
        replace(result, unread=result.unread + cuts[result.index])
        for result in response.results
    ]
    usage = replace(
        response.usage,
        truncated=sum(result.unread > 0 for result in unread),
        unread=sum(result.unread for result in unread),
    )
    return replace(response, results=tuple(unread), usage=usage)


def rerank_all(
    state: ServerState, context: RequestContext, requests: Sequence[RerankRequest]
) -> list[RerankResponse]:
    """Rerank the documents of each request; blocks."""
    return [rerank(state, context, request) for request in requests]
