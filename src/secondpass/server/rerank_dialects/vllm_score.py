"""vLLM's score endpoint: pairs of texts, scored in the order in which they come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.request_handler import Operation
from secondpass.server.rerank_dialects.operation import rerank_all
from secondpass.server.rerank_dialects.responses import RerankReply, openai_error
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.rerank_dialects.vllm import POOLING_FIELDS, parse_limits, wants_logits
from secondpass.types import RerankResponse

_PAIRS = (
    ("queries", "documents"),
    ("queries", "items"),
    ("data_1", "data_2"),
    ("text_1", "text_2"),
)


_QUERIES = Honored("one query, or as many as texts")
_TEXTS = Honored("the texts to score")
_FIELDS = RequestFields(
    "vLLM, scores",
    "/vllm/score",
    {
        **dict.fromkeys(dict.fromkeys(pair[0] for pair in _PAIRS), _QUERIES),
        **{pair[1]: _TEXTS for pair in _PAIRS},
        **POOLING_FIELDS,
    },
)


def parse(body: Body) -> list[RerankRequest]:
    """Return one request for each query, in order: one for all texts, or one for each.

    Raises HttpError (400) for keys that are missing, and for lists that do not pair up.
    """
    names = next((p for p in _PAIRS if body.has(p[0]) and body.has(p[1])), None)
    if names is None:
        raise invalid("text_1 and text_2 are missing, or queries and documents")
    left, right = (_texts(body, name) for name in names)
    for query in left:
        if not query.strip():
            raise invalid(f"{names[0]} has a blank text")
    shared: dict[str, Any] = {
        "model": body.maybe_text("model"),
        "raw_scores": wants_logits(body),
        "reading": parse_limits(body),
    }
    if len(left) == 1:
        return [RerankRequest(left[0], right, right, **shared)]
    if len(left) != len(right):
        raise invalid(
            f"{names[0]} has {len(left)} texts and {names[1]} has {len(right)}: "
            "give one, or as many"
        )
    pairs = zip(left, right, strict=True)
    return [RerankRequest(query, [text], [text], **shared) for query, text in pairs]


def _texts(body: Body, name: str) -> Sequence[str]:
    value = body.fields.get(name)
    if isinstance(value, str):
        return [value]
    texts = body.texts(name)
    if not texts:
        raise invalid(f"{name} is empty")
    return texts


def write(replies: Sequence[RerankReply]) -> dict[str, Any]:
    """Return vLLM's response."""
    scores: list[float] = []
    for reply in replies:
        by_index = {r.index: reply.score(r) for r in reply.response.results}
        scores += [by_index[i] for i in range(len(by_index))]
    tokens = sum(reply.tokens for reply in replies)
    return {
        "id": f"score-{replies[0].id}",
        "object": "list",
        "created": int(time.time()),
        "model": replies[0].model,
        "data": [
            {"index": i, "object": "score", "score": score} for i, score in enumerate(scores)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
    }


def _respond(
    context: RequestContext, requests: list[RerankRequest], responses: list[RerankResponse]
) -> dict[str, Any]:
    pairs = list(zip(requests, responses, strict=True))
    context.warnings += tuple(dict.fromkeys(w for r in responses for w in r.warnings))
    return write([RerankReply(*pair, context.id) for pair in pairs])


VLLM_SCORE = Operation(
    dialect="vllm-score",
    fail=openai_error,
    scope="rerank",
    fields=_FIELDS,
    parse=lambda context, body: parse(body),
    documents=lambda requests: sum(len(request.documents) for request in requests),
    run=rerank_all,
    respond=_respond,
)
