"""OpenAI's responses: the response as an object, and as a stream of events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from secondpass.server.http_errors import HttpError
from secondpass.server.openai.chat import ChatReply
from secondpass.server.openai.responses import error_object
from secondpass.server.openai.responses_request import ResponsesRequest
from secondpass.server.result_fields import json_value
from secondpass.server.streaming import data

# Fields of the request that the response repeats, with their values where they are absent.
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "temperature": None,
    "top_p": None,
}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseWriter:
    """Writes one response, whole or as events that count from 0."""

    def __init__(self, request_id: str, request: ResponsesRequest, reply: ChatReply) -> None:
        self._fields, self._reply = request.fields, reply
        self._id, self._message_id = f"resp_{request_id}", f"msg_{request_id}"
        self._created = int(time.time())
        self._events = 0

    def whole(self) -> dict[str, Any]:
        """Return the response of a reply that has ended."""
        reason = _INCOMPLETE.get(self._reply.finish)
        status = "completed" if reason is None else "incomplete"
        usage = self._reply.usage
        return {
            **self._head(status),
            "completed_at": int(time.time()) if reason is None else None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": [self._message(status, [self._part(self._reply.text, whole=True)])],
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
            "chunks": self._reply.chunks,
        }

    def frames(self) -> Iterator[str]:
        """Yield the frames of the stream; blocks."""
        pieces = self._reply.pieces()
        # The passages are known, and whether they were found, once the first piece has come.
        first = next(pieces, None)
        started = {**self._head("in_progress"), "chunks": self._reply.chunks}
        yield self._event("response.created", response=started)
        yield self._event("response.in_progress", response=started)
        item = {"output_index": 0, "item": self._message("in_progress", [])}
        yield self._event("response.output_item.added", **item)
        place = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
        part = self._part("", whole=False)
        yield self._event("response.content_part.added", **place, part=part)
        while first is not None:
            yield self._event("response.output_text.delta", **place, delta=first, logprobs=[])
            first = next(pieces, None)
        part = self._part(self._reply.text, whole=True)
        for index, annotation in enumerate(part["annotations"]):
            yield self._event(
                "response.output_text.annotation.added",
                **place,
                annotation_index=index,
                annotation=annotation,
            )
        text = {"text": self._reply.text, "logprobs": []}
        yield self._event("response.output_text.done", **place, **text)
        yield self._event("response.content_part.done", **place, part=part)
        response = self.whole()
        item["item"] = response["output"][0]
        yield self._event("response.output_item.done", **item)
        yield self._event(f"response.{response['status']}", response=response)

    def fail(self, error: HttpError) -> str:
        """Return the event that ends a stream with an error."""
        content = error_object(error)
        # Clients read the fields of the event or those of the object in it.
        return self._event("error", **{**content, "type": "error"}, error=content)

    def _event(self, kind: str, **fields: Any) -> str:
        event = {**fields, "type": kind, "sequence_number": self._events}
        self._events += 1
        return data(event, event=kind)

    def _head(self, status: str) -> dict[str, Any]:
        repeated = {
            name: default if self._fields.get(name) is None else json_value(self._fields[name])
            for name, default in _REPEATED.items()
        }
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": self._reply.model,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "truncation": "disabled",
            "usage": None,
            **repeated,
        }

    def _message(self, status: str, content: list[Any]) -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _part(self, text: str, *, whole: bool) -> dict[str, Any]:
        annotations = []
        if whole:
            for row in self._reply.annotations:
                annotations.append({"type": row["type"], **row["url_citation"]})
        return {
            "type": "output_text",
            "text": text,
            "annotations": annotations,
            "logprobs": [],
        }
