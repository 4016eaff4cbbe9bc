"""Anthropic's Messages, version 2026-10-21, which has no sampling parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.llm.types import Completion, Prompt, Stop
from secondpass.llm.wire import Body, Dialect, Folding, count, error_text, stream_failed
from secondpass.remote.sse import Event

VERSION = "2026-10-21"
_STOPS = {
    "end_turn": Stop.END,
    "stop_sequence": Stop.END,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "refusal": Stop.REFUSAL,
}


class AnthropicMessages(Dialect):
    """One user message and a system text; the answer is that of all text blocks."""

    path = "/v1/messages"

    def headers(self, key: str | None) -> Mapping[str, str]:
        """Return the bearer token and the version that this was written for."""
        token = {} if key is None else {"authorization": f"Bearer {key}"}
        return {**token, "anthropic-version": VERSION}

    def body(self, model: str, prompt: Prompt, refused: frozenset[str], stream: bool) -> Body:
        """Return the request; temperature, seed and log-probabilities do not exist here."""
        body: Body = {
            "model": model,
            "max_tokens": prompt.max_tokens,
            "messages": [{"role": "user", "content": clean(prompt.user)}],
        }
        if prompt.system:
            body["system"] = clean(prompt.system)
        if prompt.stop:
            body["stop_sequences"] = list(prompt.stop)
        if prompt.schema is not None and "output_config" not in refused:
            form = {"type": "json_schema", "schema": prompt.schema}
            body["output_config"] = {"format": form}
        if stream:
            body["stream"] = True
        return body

    def refusal(self, status: int, body: Body, answer: Any) -> str | None:
        """Return "output_config" where the model has no structured output."""
        said = error_text(answer) or ""
        if status == 400 and "output_config" in body and "output" in said:
            return "output_config"
        return None

    def completion(self, answer: Any) -> Completion:
        """Join the text blocks; others, such as thinking, are left out."""
        try:
            blocks = [b["text"] for b in answer["content"] if b.get("type") == "text"]
            text = "".join(blocks)
            stop = _STOPS.get(str(answer.get("stop_reason")), Stop.OTHER)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("there is no content in it") from error
        usage = answer.get("usage")
        return Completion(text, stop, _input(usage), count(usage, "output_tokens"))

    def folding(self) -> Folding:
        """Return a folding of named events."""
        return _Blocks()


class _Blocks(Folding):
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
        said = json.loads(event.data)
        if not isinstance(said, Mapping):
            return ""
        if event.name == "error":
            raise stream_failed(said)
        if event.name == "message_stop":
            self._done = True
        elif event.name == "message_start":
            message = said.get("message")
            self._input = _input(message.get("usage") if isinstance(message, Mapping) else None)
        elif event.name == "message_delta":
            delta = said.get("delta")
            reason = delta.get("stop_reason") if isinstance(delta, Mapping) else None
            if reason is not None:
                self._stop = _STOPS.get(str(reason), Stop.OTHER)
            self._output = count(said.get("usage"), "output_tokens")
        elif event.name == "content_block_delta":
            delta = said.get("delta")
            if isinstance(delta, Mapping) and isinstance(delta.get("text"), str):
                self._text.append(delta["text"])
                return str(delta["text"])
        return ""

    def completion(self) -> Completion:
        return Completion("".join(self._text), self._stop, self._input, self._output)


def _input(usage: Any) -> int | None:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    found = [n for name in names if (n := count(usage, name)) is not None]
    return sum(found) if found else None
