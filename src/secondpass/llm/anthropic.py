"""Anthropic's Messages API, version 2026-10-21, which has no sampling parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.llm.types import Completion, Prompt, Stop
from secondpass.llm.wire import (
    Body,
    StreamAssembler,
    WireFormat,
    error_text,
    stream_failed,
    token_count,
)
from secondpass.remote.sse import Event

VERSION = "2026-10-21"
_STOPS = {
    "end_turn": Stop.END,
    "stop_sequence": Stop.END,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "refusal": Stop.REFUSAL,
}


class AnthropicMessages(WireFormat):
    """One user message and a system text; the answer is the text of all text blocks."""

    path = "/v1/messages"

    def headers(self) -> Mapping[str, str]:
        """Return the version of the API that this was written for."""
        return {"anthropic-version": VERSION}

    def build_body(
        self, model: str, prompt: Prompt, rejected: frozenset[str], stream: bool
    ) -> Body:
        """Return the request body; there is no temperature, seed or log-probability here."""
        body: Body = {
            "model": model,
            "max_tokens": prompt.max_tokens,
            "messages": [{"role": "user", "content": clean(prompt.user)}],
        }
        if prompt.system:
            body["system"] = clean(prompt.system)
        if prompt.stop:
            body["stop_sequences"] = list(prompt.stop)
        if prompt.schema is not None and "output_config" not in rejected:
            output_format = {"type": "json_schema", "schema": prompt.schema}
            body["output_config"] = {"format": output_format}
        if stream:
            body["stream"] = True
        return body

    def rejected_parameter(self, status: int, request: Body, response: Any) -> str | None:
        """Return "output_config" where the model has no structured output."""
        message = error_text(response) or ""
        if status == 400 and "output_config" in request and "output" in message:
            return "output_config"
        return None

    def parse_completion(self, response: Any) -> Completion:
        """Join the text blocks; others, such as thinking, are left out."""
        try:
            blocks = [b["text"] for b in response["content"] if b.get("type") == "text"]
            text = "".join(blocks)
            stop = _STOPS.get(str(response.get("stop_reason")), Stop.OTHER)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("the response has no content") from error
        usage = response.get("usage")
        return Completion(text, stop, _input_tokens(usage), token_count(usage, "output_tokens"))

    def new_assembler(self) -> StreamAssembler:
        """Return an assembler of named events."""
        return _BlockAssembler()


class _BlockAssembler(StreamAssembler):
    def __init__(self) -> None:
        self._text: list[str] = []
        self._stop = Stop.OTHER
        self._input: int | None = None
        self._output: int | None = None
        self._done = False

    @property
    def finished(self) -> bool:
        return self._done

    def feed(self, event: Event) -> str:
        if event.name in ("", "ping"):
            return ""
        data = json.loads(event.data)
        if not isinstance(data, Mapping):
            return ""
        if event.name == "error":
            raise stream_failed(data)
        if event.name == "message_stop":
            self._done = True
        elif event.name == "message_start":
            message = data.get("message")
            self._input = _input_tokens(
                message.get("usage") if isinstance(message, Mapping) else None
            )
        elif event.name == "message_delta":
            delta = data.get("delta")
            reason = delta.get("stop_reason") if isinstance(delta, Mapping) else None
            if reason is not None:
                self._stop = _STOPS.get(str(reason), Stop.OTHER)
            self._output = token_count(data.get("usage"), "output_tokens")
        elif event.name == "content_block_delta":
            delta = data.get("delta")
            if isinstance(delta, Mapping) and isinstance(delta.get("text"), str):
                self._text.append(delta["text"])
                return str(delta["text"])
        return ""

    def completion(self) -> Completion:
        return Completion("".join(self._text), self._stop, self._input, self._output)


def _input_tokens(usage: Any) -> int | None:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    counts = [n for name in names if (n := token_count(usage, name)) is not None]
    return sum(counts) if counts else None
