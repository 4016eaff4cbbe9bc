"""OpenAI's chat completions: answers from an index, whole or as they are made."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from secondpass.server.exchange import Exchange
from secondpass.server.openai.reply import Reply
from secondpass.server.openai.responses import error, fail
from secondpass.server.openai.schemas import read_chat
from secondpass.server.request_handler import Answering
from secondpass.server.streaming import data, event_stream, pieces


def routes(answering: Answering) -> list[Route]:
    """Return the route of chat completions."""

    async def work(exchange: Exchange) -> Any:
        request = read_chat(await answering.body(exchange))
        reply = Reply(answering.service, exchange.caller.tenant, request)
        if request.stream:
            return await _streamed(answering, exchange, reply, request.include_usage)
        await answering.done(exchange, lambda: list(reply.pieces()))
        return _whole(exchange, reply)

    handler = answering.handler("openai-chat", fail, "search", work)
    return [Route("/v1/chat/completions", handler, methods=["POST"])]


def _head(exchange: Exchange, reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{exchange.id}",
        "object": kind,
        "created": int(time.time()),
        "model": reply.model,
    }


def _whole(exchange: Exchange, reply: Reply) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": reply.text,
        "refusal": None,
        "annotations": reply.annotations,
    }
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}
    head = _head(exchange, reply, "chat.completion")
    return {**head, "choices": [choice], "usage": reply.usage, "chunks": reply.chunks}


async def _streamed(
    answering: Answering, exchange: Exchange, reply: Reply, include_usage: bool
) -> Response:
    texts = await pieces(answering, exchange, reply.pieces)
    head = _head(exchange, reply, "chat.completion.chunk")
    # Where usage is wanted, all chunks before the last have it as null.
    usage: dict[str, Any] = {"usage": None} if include_usage else {}

    def frame(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return data({**head, "choices": [choice], **usage, **more})

    async def frames() -> AsyncIterator[str]:
        # With a choice in it: many clients read the first one of every chunk.
        yield frame({"role": "assistant", "content": ""}, chunks=reply.chunks)
        async for text in texts:
            yield frame({"content": text})
        cited = {"annotations": reply.annotations} if reply.annotations else {}
        yield frame(cited, reply.finish)
        if include_usage:
            yield data({**head, "choices": [], "usage": reply.usage})
        yield data("[DONE]")

    return event_stream(frames(), lambda problem: data({"error": error(problem)}))
