"""Routes of OpenAI's dialect: chat completions, responses, embeddings, models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from starlette.routing import Route

from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body
from secondpass.server.openai import chat, embeddings, models
from secondpass.server.openai.responses import (
    completion,
    completion_frames,
    error_body,
    error_frame,
    model_error_body,
)
from secondpass.server.openai.responses_reply import ResponseWriter
from secondpass.server.openai.responses_request import (
    RESPONSES_FIELDS,
    ResponsesRequest,
    parse_responses,
)
from secondpass.server.openai.schemas import (
    CHAT_FIELDS,
    EMBEDDING_FIELDS,
    INFINITY_EMBEDDING_FIELDS,
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
    reply = chat.ChatReply(state, context, request)
    for _ in reply.pieces():
        pass
    return reply


def _stream_chat(
    state: ServerState, context: RequestContext, request: ChatRequest
) -> EventStream:
    reply = chat.ChatReply(state, context, request)
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


def _run_response(
    state: ServerState, context: RequestContext, request: ResponsesRequest
) -> chat.ChatReply:
    return _run_chat(state, context, request.chat)


def _stream_response(
    state: ServerState, context: RequestContext, request: ResponsesRequest
) -> EventStream:
    reply = chat.ChatReply(state, context, request.chat)
    writer = ResponseWriter(context.id, request, reply)
    return EventStream(writer.frames(), writer.fail)


def _reject_stored(context: RequestContext, body: None) -> NoReturn:
    raise HttpError(
        404, "not found", "responses are not stored: there is none to get, cancel or delete"
    )


RESPONSES = Operation(
    dialect="openai-responses",
    fail=error_body,
    scope="search",
    fields=RESPONSES_FIELDS,
    parse=lambda context, body: parse_responses(body),
    run=_run_response,
    wants_stream=lambda request: request.chat.stream,
    stream=_stream_response,
    respond=lambda context, request, reply: ResponseWriter(context.id, request, reply).whole(),
)
STORED_RESPONSES: Operation[None, None] = Operation(
    dialect="openai-responses", fail=error_body, scope="search", read=None, parse=_reject_stored
)
EMBEDDINGS = Operation(
    dialect="openai-embeddings",
    fail=error_body,
    scope="rerank",
    fields=EMBEDDING_FIELDS,
    parse=lambda context, body: parse_embeddings(body),
    run=embeddings.embed,
)
INFINITY_EMBEDDINGS = replace(
    EMBEDDINGS,
    dialect="infinity-embeddings",
    fields=INFINITY_EMBEDDING_FIELDS,
    run=embeddings.infinity_embed,
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
INFINITY_MODELS = replace(
    LIST_MODELS,
    run=lambda state, context, query: models.infinity_rows(
        state, models.list_models(state, context.caller)
    ),
    respond=lambda context, query, rows: {"object": "list", "data": rows},
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
    embed = handler.serve(EMBEDDINGS)
    infinity_embed = handler.serve(INFINITY_EMBEDDINGS)
    infinity_models = handler.serve(INFINITY_MODELS)
    stored = handler.serve(STORED_RESPONSES)
    return [
        Route("/v1/chat/completions", handler.serve(CHAT), methods=["POST"]),
        Route("/v1/responses", handler.serve(RESPONSES), methods=["POST"]),
        Route("/v1/responses/{rest:path}", stored, methods=["GET", "POST", "DELETE"]),
        Route("/v1/embeddings", embed, methods=["POST"]),
        Route("/tei/v1/embeddings", embed, methods=["POST"]),
        Route("/vllm/v1/embeddings", embed, methods=["POST"]),
        Route("/infinity/embeddings", infinity_embed, methods=["POST"]),
        Route("/embeddings", infinity_embed, methods=["POST"]),
        Route("/v1/models", handler.serve(LIST_MODELS)),
        Route("/infinity/models", infinity_models),
        Route("/models", infinity_models),
        Route("/v1/models/{name:path}", handler.serve(GET_MODEL)),
    ]
