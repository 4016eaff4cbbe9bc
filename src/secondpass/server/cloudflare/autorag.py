"""The older interface: one query, its own filters, and its own shape of results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from secondpass.server.cloudflare.chat import write
from secondpass.server.cloudflare.context import AppContext, CloudflareCall
from secondpass.server.cloudflare.filters import read_legacy_filter
from secondpass.server.cloudflare.responses import fail, ok
from secondpass.server.cloudflare.schemas import (
    Form,
    Name,
    OptionsForm,
    Prompt,
    Results,
    Share,
    Text,
)
from secondpass.server.cloudflare.search_plan import Question, target_of
from secondpass.server.cloudflare.search_request import (
    SearchCall,
    SearchOutcome,
    rewritten,
    searched,
)
from secondpass.server.http_errors import invalid
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work
from secondpass.server.streaming import data, event_stream, pieces


class _Ranking(TypedDict, total=False):
    score_threshold: Share


class _Reranking(TypedDict, total=False):
    enabled: bool
    model: Name


class _Body(TypedDict, total=False):
    query: Text
    rewrite_query: bool
    max_num_results: Results
    ranking_options: _Ranking
    reranking: _Reranking
    filters: dict[str, Any]
    model: Name
    system_prompt: Prompt
    stream: bool


_FORM = Form(_Body)
_Whole = Annotated[int, Field(ge=0)]


def search(call: CloudflareCall) -> Any:
    """Return the chunks for a query."""
    sent = _read(call.body)
    request = _request(call, sent)
    return ok(_page(request, searched(call.hub, request)))


def sync(call: CloudflareCall) -> Any:
    """Begin a job that indexes again what failed or is outdated."""
    instance = call.instance
    number = instance.jobs.create(None, everything=False)
    call.hub.worker.wake(instance)
    return ok({"job_id": number})


def answer_work(handler: RequestHandler, hub: AppContext) -> Work:
    """Return what answers a query, whole or as a stream of nothing but text."""

    async def work(context: RequestContext) -> Any:
        call = CloudflareCall(hub, context, (await handler.body(context)).found)
        timeout = handler.state.settings.write_timeout
        if call.body.get("stream") is not True:
            return await handler.done(context, lambda: call.answered(_whole), timeout=timeout)
        frames = await pieces(handler, context, lambda: _frames(call))
        return event_stream(frames, lambda problem: data(fail(problem, "")))

    return work


def _whole(call: CloudflareCall) -> Any:
    request = _request(call, _read(call.body))
    found = searched(call.hub, request)
    written = write(call.hub, request, found)
    for _ in written.pieces:
        pass
    return ok({**_page(request, found), "response": written.text})


def _frames(call: CloudflareCall) -> Iterator[str]:
    request = _request(call, _read(call.body))
    written = write(call.hub, request, searched(call.hub, request))
    for piece in written.pieces:
        yield data({"response": piece})
    yield data("[DONE]")


def _read(body: Mapping[str, Any]) -> _Body:
    sent = _FORM.read(body)
    if not sent.get("query", "").strip():
        raise invalid("query is missing, or blank")
    return sent


def _request(call: CloudflareCall, sent: _Body) -> SearchCall:
    instance = call.instance
    conditions = None
    if "filters" in sent:
        conditions = read_legacy_filter(sent["filters"], instance.fields)
    threshold = sent.get("ranking_options", {}).get("score_threshold", 0.0)
    options: OptionsForm = {
        "retrieval": {
            "match_threshold": threshold,
            "max_num_results": sent.get("max_num_results", 10),
        },
        "query_rewrite": {"enabled": False},
        "reranking": {"enabled": False, **sent.get("reranking", {}), "match_threshold": 0.0},
    }
    query = Question(sent["query"], system=sent.get("system_prompt"))
    if sent.get("rewrite_query", False):
        own = instance.settings.get("system_prompt_rewrite_query")
        query = Question(rewritten(call.hub.llm, query, own), system=query.system)
    target = target_of(instance, options, conditions)
    return SearchCall([instance], query, options, targets=[target], model=sent.get("model", ""))


def _page(request: SearchCall, found: SearchOutcome) -> dict[str, Any]:
    return {
        "object": "vector_store.search_results.page",
        "search_query": found.query,
        "data": _rows(found.chunks),
        "has_more": False,
        "next_page": None,
    }


def _rows(chunks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for chunk in chunks:
        metadata = dict(chunk["item"]["metadata"])
        moment = metadata.pop("timestamp", time.time())
        rows.append(
            {
                "file_id": chunk["id"].partition(".")[0],
                "filename": metadata.pop("filename"),
                "score": chunk["score"],
                "attributes": {**metadata, "modified_date": moment},
                "content": [{"id": chunk["id"], "type": "text", "text": chunk["text"]}],
            }
        )
    return rows
