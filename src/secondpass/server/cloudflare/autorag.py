"""The older AutoRAG interface: its own filter syntax and its own form of results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from typing_extensions import TypedDict

from secondpass.retrieve.json_filter import Condition
from secondpass.server.cloudflare.chat import generate_answer
from secondpass.server.cloudflare.context import ApiRequest
from secondpass.server.cloudflare.conversation import Conversation, rewrite_query
from secondpass.server.cloudflare.filters import Field, find_field, parse_comparison
from secondpass.server.cloudflare.operation import fail_event
from secondpass.server.cloudflare.responses import ok
from secondpass.server.cloudflare.schemas import (
    Name,
    Prompt,
    ResultCount,
    Schema,
    SearchOptions,
    Text,
    UnitFloat,
    typed_fields,
)
from secondpass.server.cloudflare.search import SearchResult, run_search
from secondpass.server.cloudflare.search_request import (
    SearchRequest,
    search_plan,
    search_target,
)
from secondpass.server.http_errors import invalid
from secondpass.server.request_fields import Honored, NoEffect, RequestFields
from secondpass.server.streaming import EventStream, data

_MAX_COMPARISONS = 64
_COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte")


class _RankingOptions(TypedDict, total=False):
    score_threshold: Annotated[
        UnitFloat, Honored("the lowest vector score that is returned, 0 to 1")
    ]


class _RerankingOptions(TypedDict, total=False):
    enabled: Annotated[bool, Honored("whether chunks are reranked")]
    model: Annotated[Name, Honored("the reranker, by name; the default one for @cf names")]


class _Body(TypedDict, total=False):
    query: Annotated[Text, Honored("the query")]
    rewrite_query: Annotated[bool, Honored("whether the language model rewrites the query")]
    max_num_results: Annotated[ResultCount, Honored("how many chunks are returned, 1 to 50")]
    ranking_options: _RankingOptions
    reranking: _RerankingOptions
    filters: Annotated[dict[str, Any], Honored("conditions on metadata")]
    model: Annotated[Name, NoEffect("the server has one language model", checked=True)]
    system_prompt: Annotated[Prompt, Honored("the instructions of the answer")]
    stream: Annotated[bool, Honored("whether an answer is streamed")]


_SCHEMA = Schema(_Body)
FIELDS = RequestFields(
    "Cloudflare AutoRAG, the older interface",
    "/client/v4/accounts/{account}/autorag/rags/{name}/search",
    typed_fields(_Body),
    lenient=False,
)


def search(request: ApiRequest) -> Any:
    """Return the chunks for a query."""
    search_request = _parse(request)
    return ok(_results_page(run_search(request.app, search_request)))


def ai_search(request: ApiRequest) -> Any:
    """Return the chunks for a query, and an answer from them."""
    search_request = _parse(request)
    result = run_search(request.app, search_request)
    answer = generate_answer(request.app, search_request, result)
    for _ in answer.pieces:
        pass
    return ok({**_results_page(result), "response": answer.text})


def stream_ai_search(request: ApiRequest) -> EventStream:
    """Stream an answer in server-sent events that hold nothing but text."""
    return EventStream(_answer_events(request), fail_event)


def _answer_events(request: ApiRequest) -> Iterator[str]:
    search_request = _parse(request)
    result = run_search(request.app, search_request)
    for piece in generate_answer(request.app, search_request, result).pieces:
        yield data({"response": piece})
    yield data("[DONE]")


def sync(request: ApiRequest) -> Any:
    """Start a job that indexes the failed and outdated items again."""
    instance = request.instance
    job_id = instance.jobs.create(None, everything=False)
    request.app.worker.schedule(instance)
    return ok({"job_id": job_id})


def _parse(request: ApiRequest) -> SearchRequest:
    """Parse the body, and rewrite its query if it says so; raises HttpError (400 or 404)."""
    body = _SCHEMA.parse(request.body)
    if not body.get("query", "").strip():
        raise invalid("query is missing, or blank")
    instance = request.instance
    conditions = None
    if "filters" in body:
        conditions = parse_typed_filter(body["filters"], instance.fields)
    options: SearchOptions = {
        "retrieval": {
            "match_threshold": body.get("ranking_options", {}).get("score_threshold", 0.0),
            "max_num_results": body.get("max_num_results", 10),
        },
        "query_rewrite": {"enabled": False},
        "reranking": {"enabled": False, **body.get("reranking", {}), "match_threshold": 0.0},
    }
    target = search_target(instance, options, conditions)
    conversation = Conversation(body["query"], system=body.get("system_prompt"))
    if body.get("rewrite_query", False):
        prompt = instance.settings.get("system_prompt_rewrite_query")
        query = rewrite_query(request.app.llm, conversation, prompt)
        conversation = Conversation(query, system=conversation.system)
    return SearchRequest(
        conversation,
        [target],
        search_plan(options, instance.settings),
        options,
        model=body.get("model", ""),
        cacheable=False,
    )


def parse_typed_filter(filters: Any, fields: Mapping[str, Field]) -> list[Condition]:
    """Return the conditions of a filter such as `{"type": "eq", "key": ..., "value": ...}`.

    As in the service, "or" takes only equalities of one key, and nothing is nested. Raises
    HttpError (400) that names what is invalid.
    """
    if not isinstance(filters, Mapping):
        raise invalid("filters must be an object")
    kind = filters.get("type")
    if kind not in ("and", "or"):
        return [_parse_comparison(filters, fields)]
    parts = filters.get("filters")
    if not isinstance(parts, list) or not parts or len(parts) > _MAX_COMPARISONS:
        raise invalid(f"filters.filters must be a list of 1 to {_MAX_COMPARISONS} comparisons")
    conditions = [_parse_comparison(part, fields) for part in parts]
    return conditions if kind == "and" else [_any_of(conditions)]


def _any_of(conditions: Sequence[Condition]) -> Condition:
    if any(c.operator != "eq" for c in conditions):
        raise invalid("filters: an or takes only comparisons of type eq")
    if len({c.column for c in conditions}) > 1:
        raise invalid("filters: an or takes only comparisons of one key")
    values = tuple(value for c in conditions for value in c.values)
    return Condition(conditions[0].column, "in", values)


def _parse_comparison(part: Any, fields: Mapping[str, Field]) -> Condition:
    if not isinstance(part, Mapping):
        raise invalid("filters: a comparison must be an object")
    kind, key = part.get("type"), part.get("key")
    if kind in ("and", "or"):
        raise invalid("filters: and and or cannot be nested")
    if kind not in _COMPARISONS:
        raise invalid(f"filters: type must be one of {', '.join(_COMPARISONS)}")
    if not isinstance(key, str):
        raise invalid("filters: key must be a string")
    if "value" not in part:
        raise invalid("filters: value is missing")
    return parse_comparison(find_field(key, fields), kind, part["value"])


def _results_page(result: SearchResult) -> dict[str, Any]:
    return {
        "object": "vector_store.search_results.page",
        "search_query": result.query,
        "data": [_result_row(chunk) for chunk in result.rows],
        "has_more": False,
        "next_page": None,
    }


def _result_row(chunk: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(chunk["item"]["metadata"])
    modified_at = metadata.pop("timestamp", time.time())
    return {
        "file_id": chunk["id"].partition(".")[0],
        "filename": metadata.pop("filename"),
        "score": chunk["score"],
        "attributes": {**metadata, "modified_date": modified_at},
        "content": [{"id": chunk["id"], "type": "text", "text": chunk["text"]}],
    }
