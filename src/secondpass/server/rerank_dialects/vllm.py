"""vLLM's rerank endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from secondpass.option_types import Count, Flag
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import (
    Honored,
    NoEffect,
    Refused,
    RequestField,
    RequestFields,
)
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, openai_error, usage
from secondpass.server.rerank_dialects.schemas import (
    DOCUMENTS,
    INSTRUCTION,
    MODEL,
    QUERY,
    TOP_N_OR_ALL,
    USER,
    RerankRequest,
    parse_reading,
    parse_request,
)

POOLING_FIELDS: Mapping[str, RequestField] = {
    "model": MODEL,
    "user": USER,
    "truncate_prompt_tokens": Honored(
        "how many tokens of a document are read at most, the query not counted; -1 for as many "
        "as without",
        Count(-1),
    ),
    "truncation_side": Refused(
        "of a text with a limit the beginning is read", unless=("right",)
    ),
    "max_tokens_per_query": Honored(
        "tokens of the query that are read, 0 for the default", Count(0)
    ),
    "max_tokens_per_doc": Honored(
        "tokens of a document that are read, 0 for no limit", Count(0)
    ),
    "use_activation": Honored("false: logits instead of scores from 0 to 1", Flag()),
    "activation": Honored("the older name of `use_activation`", Flag()),
    "softmax": Honored("the oldest name of `use_activation`", Flag()),
    "priority": Refused("there is no scheduling by priority", unless=(0,)),
    "instruction": INSTRUCTION,
    "chat_template": Refused("no model here has one"),
    "mm_processor_kwargs": NoEffect("texts are all that is read"),
    "padding": NoEffect("texts are padded as the model was trained with"),
    "request_id": NoEffect("the header `X-Request-ID` names a request"),
    "cache_salt": NoEffect("no prefixes are cached between requests"),
}
"""The fields that `/rerank` and `/score` have in common."""

_FIELDS = RequestFields(
    "vLLM",
    "/vllm/rerank",
    {
        "query": QUERY,
        "documents": DOCUMENTS,
        "top_n": TOP_N_OR_ALL,
        "return_documents": NoEffect("results always have their documents"),
        **POOLING_FIELDS,
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request; a `top_n` of 0 means all, and a single document needs no list."""
    documents = body.fields.get("documents")
    if isinstance(documents, str | dict):
        body = Body({**body.fields, "documents": [documents]})
    request = parse_request(body)
    return replace(request, raw_scores=wants_logits(body), reading=parse_limits(body))


def wants_logits(body: Body) -> bool:
    """Return whether a body asks for logits, by any of the three names."""
    names = ("use_activation", "activation", "softmax")
    given = next((name for name in names if body.has(name)), names[0])
    return not body.flag(given, True)


def parse_limits(body: Body) -> dict[str, Any]:
    """Return how much is read; the lower limit of a document holds."""
    prompt = body.count("truncate_prompt_tokens", minimum=-1)
    if prompt == 0:
        raise invalid("truncate_prompt_tokens must be -1, or from 1 up")
    reading = parse_reading(
        body, tokens="max_tokens_per_doc", query_tokens="max_tokens_per_query"
    )
    if prompt is not None and prompt > 0:
        limit = min(prompt, reading.get("max_tokens_per_doc", prompt))
        reading["max_tokens_per_doc"] = limit
    return reading


def write(reply: RerankReply) -> dict[str, Any]:
    """Return vLLM's response, which always has the documents."""
    rows = [
        {
            "index": result.index,
            "document": {"text": reply.request.documents[result.index], "multi_modal": None},
            "relevance_score": reply.score(result),
        }
        for result in reply.response.results
    ]
    return {
        "id": f"score-{reply.id}",
        "model": reply.model,
        "usage": usage(reply),
        "results": rows,
    }


VLLM = rerank_operation("vllm", _FIELDS, parse, write, openai_error)
