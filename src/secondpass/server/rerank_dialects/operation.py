"""The operation behind every rerank path: parse, rerank, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from secondpass.server.http_errors import default_error, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import Fail, RequestContext
from secondpass.server.request_handler import Operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.state import ServerState
from secondpass.types import RerankResponse

RerankOperation = Operation[RerankRequest, RerankResponse]


def rerank_operation(
    dialect: str,
    parse: Callable[[Body], RerankRequest],
    write: Callable[[RerankReply], Any],
    fail: Fail = default_error,
) -> RerankOperation:
    """Build the operation of a dialect's rerank endpoint.

    `parse` raises HttpError for a body that cannot be used; `write` returns JSON content.
    """

    def respond(
        context: RequestContext, request: RerankRequest, response: RerankResponse
    ) -> Any:
        return write(RerankReply(request, response, context.id))

    return Operation(
        dialect=dialect,
        fail=fail,
        scope="rerank",
        parse=lambda context, body: parse(body),
        documents=lambda request: len(request.documents),
        run=rerank,
        respond=respond,
    )


def rerank(
    state: ServerState, context: RequestContext, request: RerankRequest
) -> RerankResponse:
    """Rerank the documents of a request; blocks.

    Raises HttpError (400) where they should be read whole, and were not.
    """
    response = state.rerank(
        request.query, request.documents, model=request.model, top_k=request.top_n
    )
    cut = response.usage.truncated
    if request.whole and cut:
        count = len(request.documents)
        raise invalid(
            f"{cut} of {count} documents are longer than the model reads, and not read whole: "
            "shorten them, or let them be cut"
        )
    return response


def rerank_all(
    state: ServerState, context: RequestContext, requests: Sequence[RerankRequest]
) -> list[RerankResponse]:
    """Rerank the documents of each request; blocks."""
    return [rerank(state, context, request) for request in requests]
