"""What a client of OpenAI's chat completions asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.openai.messages import Conversation, read_messages
from secondpass.server.openai.retrieval import Retrieval, read_retrieval

_MOST_STOPS = 4


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the text is written: None where the client leaves it to the server.

    `temperature` is from 0 to 2, `top_p` from 0 to 1, `max_tokens` at least 1.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request; `model` names an index, and `include_usage` is for a stream."""

    model: str | None
    conversation: Conversation
    sampling: Sampling
    retrieval: Retrieval
    stream: bool
    include_usage: bool


def read_chat(body: Body) -> ChatRequest:
    """Read a request; raises `Problem` (400) for what cannot be done, or cannot be."""
    if body.count("n") not in (None, 1):
        raise invalid("n can only be 1: there is one answer")
    _check_format(body.found.get("response_format"))
    options = body.part("stream_options")
    name = body.maybe_text("model")
    return ChatRequest(
        model=None if name is None else clean(name),
        conversation=read_messages(body),
        sampling=_sampling(body),
        retrieval=read_retrieval(body.part("ai_search_options")),
        stream=body.flag("stream"),
        include_usage=options.flag("include_usage"),
    )


def _sampling(body: Body) -> Sampling:
    newest, older = body.count("max_completion_tokens"), body.count("max_tokens")
    seed = body.found.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise invalid("seed must be a whole number")
    stop = body.found.get("stop")
    stops = (stop,) if isinstance(stop, str) else (body.texts("stop") or ())
    if len(stops) > _MOST_STOPS or "" in stops:
        raise invalid(f"stop can have {_MOST_STOPS} texts, none of them empty")
    return Sampling(
        older if newest is None else newest,
        _number(body, "temperature", 2),
        _number(body, "top_p", 1),
        seed,
        tuple(map(clean, stops)),
    )


def _number(body: Body, name: str, most: float) -> float | None:
    value = body.found.get(name)
    if value is None:
        return None
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not (math.isfinite(value) and 0 <= value <= most):
        raise invalid(f"{name} must be a number from 0 to {most:g}")
    return float(value)


def _check_format(value: Any) -> None:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if value is not None and kind != "text":
        raise invalid("response_format can only be text: answers are texts with citations")
