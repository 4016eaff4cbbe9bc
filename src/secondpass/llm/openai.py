"""OpenAI's chat completions API, in the form that compatible servers have in common.

OpenAI itself, vLLM, llama.cpp, Ollama and most gateways. They differ in the parameters that
they reject, so one that a server rejects is left out and the request is sent again.
"""

from __future__ import annotations

import json
import re
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

_STOPS = {
    "stop": Stop.END,
    "length": Stop.LENGTH,
    "content_filter": Stop.REFUSAL,
}
_OPTIONAL = (
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "top_logprobs",
    "logprobs",
    "json_schema",
    "response_format",
    "stream_options",
)


class OpenAIChat(WireFormat):
    """Chat completions; `openai=True` sends `max_completion_tokens`, as OpenAI itself wants."""

    path = "/chat/completions"

    def __init__(self, *, openai: bool = False) -> None:
        self._limit = "max_completion_tokens" if openai else "max_tokens"

    def build_body(
        self, model: str, prompt: Prompt, rejected: frozenset[str], stream: bool
    ) -> Body:
        """Return the request body; a rejected token limit is sent by its other name."""
        messages = [{"role": "user", "content": clean(prompt.user)}]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": clean(prompt.system)})
        other = "max_tokens" if self._limit != "max_tokens" else "max_completion_tokens"
        limit = self._limit if self._limit not in rejected else other
        body: Body = {"model": model, "messages": messages, limit: prompt.max_tokens}
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
        if prompt.top_p is not None:
            body["top_p"] = prompt.top_p
        if prompt.seed is not None:
            body["seed"] = prompt.seed
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.top_logprobs and not rejected & {"logprobs", "top_logprobs"}:
            body |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
        if prompt.schema is not None:
            body["response_format"] = _format(prompt, rejected)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return {name: value for name, value in body.items() if name not in rejected}

    def rejected_parameter(self, status: int, request: Body, response: Any) -> str | None:
        """Return the optional parameter that the error names, if it was sent."""
        if status not in (400, 422):
            return None
        sent = [name for name in _OPTIONAL if name in request]
        schema = request.get("response_format", {}).get("type") == "json_schema"
        error = response.get("error", response) if isinstance(response, Mapping) else {}
        param = error.get("param") if isinstance(error, Mapping) else None
        if param:
            name: str | None = str(param).split(".")[0]
        else:
            name = _first_name(error_text(response), sent, schema)
        if name in ("json_schema", "response_format") and "response_format" in request:
            return "json_schema" if schema else "response_format"
        return name if name in sent else None

    def parse_completion(self, response: Any) -> Completion:
        """Read the first choice."""
        try:
            choice = response["choices"][0]
            message = choice["message"]
            text = message.get("content")
            declined = isinstance(message.get("refusal"), str) and not text
            stop = _STOPS.get(str(choice.get("finish_reason")), Stop.OTHER)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError("the response has no message") from error
        usage = response.get("usage")
        return Completion(
            text if isinstance(text, str) else "",
            Stop.REFUSAL if declined else stop,
            token_count(usage, "prompt_tokens"),
            token_count(usage, "completion_tokens"),
            _logprobs(choice.get("logprobs")),
        )

    def new_assembler(self) -> StreamAssembler:
        """Return an assembler of chunks."""
        return _ChunkAssembler()


class _ChunkAssembler(StreamAssembler):
    def __init__(self) -> None:
        self._text: list[str] = []
        self._stop: Stop | None = None
        self._done = False
        self._usage: Any = None

    @property
    def finished(self) -> bool:
        # Some servers leave out [DONE], some the finish reason: either ends an answer.
        return self._done or self._stop is not None

    def feed(self, event: Event) -> str:
        if event.data.strip() == "[DONE]":
            self._done = True
            return ""
        chunk = json.loads(event.data)
        if not isinstance(chunk, Mapping):
            return ""
        if chunk.get("error") is not None:
            raise stream_failed(chunk)
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
            return ""
        reason, delta = choices[0].get("finish_reason"), choices[0].get("delta")
        if reason is not None:
            self._stop = _STOPS.get(str(reason), Stop.OTHER)
        text = delta.get("content") if isinstance(delta, Mapping) else None
        if not isinstance(text, str):
            return ""
        self._text.append(text)
        return text

    def completion(self) -> Completion:
        return Completion(
            "".join(self._text),
            Stop.END if self._stop is None else self._stop,
            token_count(self._usage, "prompt_tokens"),
            token_count(self._usage, "completion_tokens"),
        )


def _format(prompt: Prompt, rejected: frozenset[str]) -> Body:
    if "json_schema" in rejected:
        return {"type": "json_object"}
    schema = {"name": prompt.schema_name, "strict": True, "schema": prompt.schema}
    return {"type": "json_schema", "json_schema": schema}


def _first_name(text: str | None, sent: list[str], schema: bool) -> str | None:
    """Return the parameter that a message names first; a longer name before a shorter."""
    names = [*sent, "json_schema"] if schema else sent
    positions = {
        name: match.start()
        for name in names
        if (match := re.search(rf"(?<!\w){name}(?!\w)", text or "")) is not None
    }
    return min(positions, key=positions.__getitem__) if positions else None


def _logprobs(logprobs: Any) -> tuple[Mapping[str, float], ...]:
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = []
    for token in content if isinstance(content, list) else ():
        try:
            candidates = [token, *(token.get("top_logprobs") or ())]
            tokens.append({str(c["token"]): float(c["logprob"]) for c in candidates})
        except (AttributeError, KeyError, TypeError, ValueError):
            return ()
    return tuple(tokens)
