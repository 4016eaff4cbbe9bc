"""Routes of OpenAI's dialect: chat completions, embeddings, models."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from secondpass.server.http_json import Body
from secondpass.server.openai import chat, embeddings, models
from secondpass.server.openai.responses import (
    completion,
    completion_frames,
    error_body,
    error_frame,
    model_error_body,
)
from secondpass.server.openai.schemas import (
    CHAT_FIELDS,
    EMBEDDING_FIELDS,
    ChatRequest,
    parse_chat,
    parse_embeddings,
)
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation, RequestHandler
from secondpass.server.state import ServerState
from secondpass.server.streaming import EventStream


def _run_chat(
    state: ServerState, context: RequestContext, request: ChatRequest
) -> chat.ChatReply:
    reply = chat.ChatReply(state, context.caller.tenant, request)
    for _ in reply.pieces():
        pass
    return reply


def _stream_chat(
    state: ServerState, context: RequestContext, request: ChatRequest
) -> EventStream:
    reply = chat.ChatReply(state, context.caller.tenant, request)
    frames = completion_frames(context.id, reply, include_usage=request.include_usage)
    return EventStream(frames, error_frame)


def _parse_chat(context: RequestContext, body: Body) -> ChatRequest:
    return parse_chat(body)


CHAT = Operation(
    dialect="openai-chat",
    fail=error_body,
    scope="search",
    fields=CHAT_FIELDS,
    parse=_parse_chat,
    run=_run_chat,
    wants_stream=lambda request: request.stream,
    stream=_stream_chat,
    respond=lambda context, request, reply: completion(context.id, reply),
)
EMBEDDINGS = Operation(
    dialect="openai-embeddings",
    fail=error_body,
    scope="rerank",
    fields=EMBEDDING_FIELDS,
    parse=lambda context, body: parse_embeddings(body),
    run=embeddings.embed,
)


def _run_models(state: ServerState, context: RequestContext, query: Any) -> list[models.Row]:
    return list(models.list_models(state, context.caller))


def _write_models(context: RequestContext, query: Any, rows: list[models.Row]) -> Any:
    endpoint = context.request.query_params.get("endpoint")
    rows = [row for row in rows if endpoint is None or endpoint in row["endpoints"]]
    return {"object": "list", "data": rows, "models": rows, "next_page_token": None}


def _write_model(context: RequestContext, query: Any, rows: list[models.Row]) -> models.Row:
    return models.find_model(rows, context.request.path_params["name"])


LIST_MODELS = Operation(
    dialect="models",
    fail=model_error_body,
    scope=None,
    read=None,
    run=_run_models,
    respond=_write_models,
)
GET_MODEL = Operation(
    dialect="models",
    fail=model_error_body,
    scope=None,
    read=None,
    run=_run_models,
    respond=_write_model,
)


def routes(handler: RequestHandler) -> list[Route]:
    """Return the routes."""
    list_models = handler.serve(LIST_MODELS)
    return [
        Route("/v1/chat/completions", handler.serve(CHAT), methods=["POST"]),
        Route("/v1/embeddings", handler.serve(EMBEDDINGS), methods=["POST"]),
        Route("/v1/models", list_models),
        Route("/infinity/models", list_models),
        Route("/v1/models/{name:path}", handler.serve(GET_MODEL)),
    ]
