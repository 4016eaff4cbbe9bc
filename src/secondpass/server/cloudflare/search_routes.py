"""The endpoints that search and answer, of an instance and of a namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from secondpass.server.cloudflare.chat import HIT, MISS, Chat
from secondpass.server.cloudflare.context import AppContext, CloudflareCall
from secondpass.server.cloudflare.responses import fail, ok
from secondpass.server.cloudflare.schemas import Form, SearchForm
from secondpass.server.cloudflare.search_plan import question_of
from secondpass.server.cloudflare.search_request import SearchCall, found_errors, searched
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work
from secondpass.server.streaming import data, event_stream, pieces

CACHE_HEADER = "cf-aig-cache-status"
Ask = Callable[[CloudflareCall], SearchCall]
"""Makes of a call what is asked; may block."""
_FORM = Form(SearchForm)
_KIND = "search"


def read(body: Mapping[str, Any]) -> SearchForm:
    """Return a body that was checked; raises Problem (400)."""
    return _FORM.read(body)


def of_instance(call: CloudflareCall, *, chat: bool) -> SearchCall:
    """Return what is asked of the instance in the path."""
    sent = read(call.body)
    question = question_of(sent, messages_needed=chat)
    options = sent.get("ai_search_options", {})
    return SearchCall([call.instance], question, options, model=sent.get("model", ""))


def of_namespace(call: CloudflareCall, *, chat: bool) -> SearchCall:
    """Return what is asked of several instances of the namespace in the path."""
    sent = read(call.body)
    names = sent.get("ai_search_options", {}).get("instance_ids")
    if names is None:
        raise invalid("ai_search_options.instance_ids is missing")
    return several(call.hub, call.tenant, call.namespace, names, sent, chat=chat)


def several(
    hub: AppContext,
    tenant: str,
    namespace: str,
    names: list[str],
    sent: SearchForm,
    *,
    chat: bool,
) -> SearchCall:
    """Return what is asked of these instances; those that are not there are noted.

    Raises Problem: 404 where none of them is there, 400.
    """
    found, missing = [], []
    for name in dict.fromkeys(names):
        try:
            found.append(hub.instance(tenant, namespace, name))
        except HttpError as problem:
            if problem.status != 404:
                raise
            missing.append((name, problem.message))
    if not found:
        raise HttpError(404, "not found", "; ".join(why for _, why in missing))
    return SearchCall(
        found,
        question_of(sent, messages_needed=chat),
        sent.get("ai_search_options", {}),
        several=True,
        missing=missing,
        model=sent.get("model", ""),
    )


def search(hub: AppContext, request: SearchCall) -> Response:
    """Return the chunks for a question, kept ones where a question like it was asked."""
    asked = request.cached(_KIND)
    kept = None if asked is None else hub.cache.get(asked)
    if kept is not None:
        return _with_cache(JSONResponse(ok(kept)), HIT)
    found = searched(hub, request)
    result = {"search_query": found.query, "query_kind": "text", "chunks": found.chunks}
    if request.several:
        result["errors"] = found_errors(found.results)
    if asked is None:
        return JSONResponse(ok(result))
    if found.whole:
        hub.cache.put(asked, result)
    return _with_cache(JSONResponse(ok(result)), MISS)


async def answer_chat(
    handler: RequestHandler, context: RequestContext, stream: bool, begin: Callable[[], Chat]
) -> Response:
    """Return an answer, whole or in server-sent events; `begin` blocks."""
    timeout = handler.state.settings.write_timeout
    if not stream:

        def whole() -> tuple[Chat, dict[str, Any]]:
            chat = begin()
            return chat, chat.whole()

        chat, found = await handler.done(context, whole, timeout=timeout)
        return _with_cache(JSONResponse(found), chat.cache)
    begun: list[Chat] = []

    def frames() -> Any:
        begun.append(begin())
        return begun[0].frames()

    sent = event_stream(
        await pieces(handler, context, frames), lambda problem: data(fail(problem, ""))
    )
    return _with_cache(sent, begun[0].cache)


def chat_work(handler: RequestHandler, hub: AppContext, ask: Ask) -> Work:
    """Return what answers chat completions."""

    async def work(context: RequestContext) -> Any:
        call = CloudflareCall(hub, context, (await handler.body(context)).found)
        # All else is checked where it does not hold up other requests.
        stream = call.body.get("stream") is True

        def begin() -> Chat:
            chat: Chat = call.answered(lambda c: Chat(hub, ask(c)))
            return chat

        return await answer_chat(handler, context, stream, begin)

    return work


def _with_cache(response: Response, status: str | None) -> Response:
    if status is not None:
        response.headers[CACHE_HEADER] = status
    return response
