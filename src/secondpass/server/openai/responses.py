"""OpenAI's responses: completions whole and in chunks, their sources, and errors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.answer import Citation, Passage
from secondpass.server.http_errors import HttpError, default_error
from secondpass.server.result_fields import json_value, relevance_score, source_url
from secondpass.server.streaming import data
from secondpass.types import RankedDocument

if TYPE_CHECKING:
    from secondpass.server.openai.chat import ChatReply

ResultsByRank = Mapping[int, RankedDocument]
"""The results of a search, by document id."""
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ERROR_CODES = {
    "no key": "invalid_api_key",
    "unknown model": "model_not_found",
    "rate": "rate_limit_exceeded",
}


def error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return the body from which the clients make their exceptions."""
    return {"error": error_object(error)}


def model_error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error of the list of models, for the clients of OpenAI and of Cohere."""
    return {**error_body(error, request_id), **default_error(error, request_id)}


def error_frame(error: HttpError) -> str:
    """Return the frame that ends a stream with an error."""
    return data({"error": error_object(error)})


def error_object(error: HttpError) -> dict[str, Any]:
    """Return the inner object of an error; `code` is a short word."""
    default = "invalid_request_error" if error.status < 500 else "server_error"
    return {
        "message": error.message,
        "type": _ERROR_TYPES.get(error.status, default),
        "param": None,
        "code": _ERROR_CODES.get(error.kind, error.kind.replace(" ", "_")),
    }


def completion(request_id: str, reply: ChatReply) -> dict[str, Any]:
    """Return a whole chat completion; `chunks` are the passages that were read."""
    message = {
        "role": "assistant",
        "content": reply.text,
        "refusal": None,
        "annotations": reply.annotations,
    }
    choice = {"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}
    head = _head(request_id, reply, "chat.completion")
    return {**head, "choices": [choice], "usage": reply.usage, "chunks": reply.chunks}


def completion_frames(
    request_id: str, reply: ChatReply, *, include_usage: bool
) -> Iterator[str]:
    """Yield the frames of a streamed chat completion; blocks."""
    pieces = reply.pieces()
    # The model's name and the passages are known once the first piece has come.
    first = next(pieces, None)
    head = _head(request_id, reply, "chat.completion.chunk")
    # With `include_usage` every chunk but the last has usage as null.
    usage: dict[str, Any] = {"usage": None} if include_usage else {}

    def frame(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return data({**head, "choices": [choice], **usage, **fields})

    # With a choice in it: many clients read the first one of every chunk.
    yield frame({"role": "assistant", "content": ""}, chunks=reply.chunks)
    if first is not None:
        yield frame({"content": first})
    for text in pieces:
        yield frame({"content": text})
    annotations = {"annotations": reply.annotations} if reply.annotations else {}
    yield frame(annotations, reply.finish)
    if include_usage:
        yield data({**head, "choices": [], "usage": reply.usage})
    yield data("[DONE]")


def _head(request_id: str, reply: ChatReply, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": reply.model,
    }


def passage_chunk(passage: Passage, results: ResultsByRank) -> dict[str, Any]:
    """Return a passage as a chunk; `number` is the one in the answer's brackets."""
    result = results.get(passage.rank)
    document = None if result is None else result.document
    metadata = {} if document is None else document.metadata
    score = passage.probability
    if score is None:
        score = 0.0 if result is None else relevance_score(result)
    return {
        "id": passage.ids[0] if passage.ids else None,
        "type": "text",
        "number": passage.number,
        "score": min(1.0, max(0.0, score)),
        "title": passage.title,
        "text": passage.text,
        "url": source_url(metadata),
        "item": {"key": "" if result is None else result.document_id or ""},
        "metadata": json_value(metadata),
    }


def url_citations(
    text: str, citations: Sequence[Citation], results: ResultsByRank
) -> list[dict[str, Any]]:
    """Return annotations for the citations whose documents have a web address."""
    rows = []
    for citation in citations:
        result = results.get(citation.passage.rank)
        document = None if result is None else result.document
        url = None if document is None else source_url(document.metadata)
        end = text.find("]", citation.start) + 1
        if url is None or end == 0:
            continue
        title = citation.passage.title
        annotation = {
            "url": url,
            "title": url if title is None else title,
            "start_index": citation.start,
            "end_index": end,
        }
        rows.append({"type": "url_citation", "url_citation": annotation})
    return rows
