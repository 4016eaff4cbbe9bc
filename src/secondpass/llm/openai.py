"""OpenAI's chat completions, as the servers that speak it have them in common.

OpenAI itself, vLLM, llama.cpp, Ollama and most gateways. They differ in what they refuse,
so a parameter that a server does not take is left out and the request sent once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.llm.types import Completion, Prompt, Stop
from secondpass.llm.wire import Body, Dialect, Folding, count, error_text, stream_failed
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


class OpenAIChat(Dialect):
    """`newest` prefers `max_completion_tokens`, which OpenAI's own server wants."""

    path = "/chat/completions"

    def __init__(self, *, newest: bool = False) -> None:
        self._limit = "max_completion_tokens" if newest else "max_tokens"

    def headers(self, key: str | None) -> Mapping[str, str]:
        """Return the bearer token, where there is a key."""
        return {} if key is None else {"authorization": f"Bearer {key}"}

    def body(self, model: str, prompt: Prompt, refused: frozenset[str], stream: bool) -> Body:
        """Return the request; a refused limit of tokens is tried by its other name."""
        messages = [{"role": "user", "content": clean(prompt.user)}]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": clean(prompt.system)})
        other = "max_tokens" if self._limit != "max_tokens" else "max_completion_tokens"
        limit = self._limit if self._limit not in refused else other
        body: Body = {"model": model, "messages": messages, limit: prompt.max_tokens}
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
        if prompt.top_p is not None:
            body["top_p"] = prompt.top_p
        if prompt.seed is not None:
            body["seed"] = prompt.seed
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.top_logprobs and not refused & {"logprobs", "top_logprobs"}:
            body |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
        if prompt.schema is not None:
            body["response_format"] = _format(prompt, refused)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return {name: value for name, value in body.items() if name not in refused}

    def refusal(self, status: int, body: Body, answer: Any) -> str | None:
        """Return the optional parameter that the error names, as it was sent."""
        if status not in (400, 422):
            return None
        sent = [name for name in _OPTIONAL if name in body]
        schema = body.get("response_format", {}).get("type") == "json_schema"
        error = answer.get("error", answer) if isinstance(answer, Mapping) else {}
        said = error.get("param") if isinstance(error, Mapping) else None
        named = str(said).split(".")[0] if said else _first(error_text(answer), sent, schema)
        if named in ("json_schema", "response_format") and "response_format" in body:
            return "json_schema" if schema else "response_format"
        return named if named in sent else None

    def completion(self, answer: Any) -> Completion:
        """Read the first choice."""
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            text = message.get("content")
            refused = isinstance(message.get("refusal"), str) and not text
            stop = _STOPS.get(str(choice.get("finish_reason")), Stop.OTHER)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError("there is no message in it") from error
        usage = answer.get("usage")
        return Completion(
            text if isinstance(text, str) else "",
            Stop.REFUSAL if refused else stop,
            count(usage, "prompt_tokens"),
            count(usage, "completion_tokens"),
            _logprobs(choice.get("logprobs")),
        )

    def folding(self) -> Folding:
        """Return a folding of chunks."""
        return _Chunks()


class _Chunks(Folding):
    def __init__(self) -> None:
        self._text: list[str] = []
        self._stop: Stop | None = None
        self._done = False
        self._usage: Any = None

    @property
    def finished(self) -> bool:
        # Some servers leave out [DONE], some the reason: either ends an answer.
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
            count(self._usage, "prompt_tokens"),
            count(self._usage, "completion_tokens"),
        )


def _format(prompt: Prompt, refused: frozenset[str]) -> Body:
    if "json_schema" in refused:
        return {"type": "json_object"}
    schema = {"name": prompt.schema_name, "strict": True, "schema": prompt.schema}
    return {"type": "json_schema", "json_schema": schema}


def _first(text: str | None, sent: list[str], schema: bool) -> str | None:
    """Return the parameter that a message names first; a longer name before a shorter."""
    names = [*sent, "json_schema"] if schema else sent
    found = {
        name: match.start()
        for name in names
        if (match := re.search(rf"(?<!\w){name}(?!\w)", text or "")) is not None
    }
    return min(found, key=found.__getitem__) if found else None


def _logprobs(said: Any) -> tuple[Mapping[str, float], ...]:
    content = said.get("content") if isinstance(said, Mapping) else None
    found = []
    for token in content if isinstance(content, list) else ():
        try:
            options = [token, *(token.get("top_logprobs") or ())]
            found.append({str(o["token"]): float(o["logprob"]) for o in options})
        except (AttributeError, KeyError, TypeError, ValueError):
            return ()
    return tuple(found)
