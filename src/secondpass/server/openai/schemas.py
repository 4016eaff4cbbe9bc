"""What a client of OpenAI's chat completions asks for.

A conversation as OpenAI's clients send it: a question, and what was said before.

How a chat request searches: settings that clients send as `ai_search_options`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.answer import Turn
from secondpass.inference.tokenizer import clean
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body

_INSTRUCTING = ("system", "developer")
_TALKING = ("user", "assistant")
# What tools said is not read: there are none here.
_SKIPPED = ("tool", "function")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The last question, the turns before it, and what the application tells the model."""

    question: str
    history: tuple[Turn, ...]
    instructions: str


def read_messages(body: Body) -> Conversation:
    """Read `messages`: the last of the user is the question, what follows it is left out.

    Raises `Problem` (400) for a message that is no text, and where no user says anything.
    """
    told: list[str] = []
    turns: list[Turn] = []
    for place, message in enumerate(body.items("messages")):
        where = f"messages[{place}]"
        if not isinstance(message, Mapping):
            raise invalid(f"{where} must be an object")
        role = message.get("role")
        if role not in (*_INSTRUCTING, *_TALKING, *_SKIPPED):
            raise invalid(f"{where}.role must be one of system, user and assistant")
        if role in _SKIPPED:
            continue
        text = clean(_text(message.get("content"), f"{where}.content"))
        if role in _INSTRUCTING:
            told.append(text)
        elif text.strip():
            turns.append(Turn(str(role), text))
    asked = [place for place, turn in enumerate(turns) if turn.role == "user"]
    if not asked:
        raise invalid("messages has no text of a user")
    last = asked[-1]
    return Conversation(turns[last].text, tuple(turns[:last]), "\n\n".join(told))


def _text(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(f"{where} must be a string or a list of parts")
    found = []
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(text, str):
            raise invalid(f"{where}[{place}] is no text, and nothing else can be read")
        found.append(text)
    return "\n".join(found)


_MODES = {"vector": "vector", "keyword": "bm25", "hybrid": "hybrid"}
_MOST = 50


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How passages are found: None where the client leaves it to the server.

    - `passages`: how many are read, 1 to 50; `mode`: that of `Index.search`.
    - `rerank`: whether the second pass runs, by `model` where one is named; `rewrite`:
      whether a language model words the search.
    """

    passages: int | None = None
    mode: str | None = None
    rerank: bool = True
    model: str | None = None
    rewrite: bool | None = None


def read_retrieval(options: Body) -> Retrieval:
    """Read the settings in the names that Cloudflare's AI Search gave them.

    Raises `Problem` (400) for values that cannot be, and for filters, since an answer
    without them would be from documents that were not to be read.
    """
    retrieval, reranking, rewriting = (
        options.part(name) for name in ("retrieval", "reranking", "query_rewrite")
    )
    if retrieval.found.get("filters"):
        raise invalid("filters are not read on this path")
    passages = retrieval.count("max_num_results")
    if passages is not None and passages > _MOST:
        raise invalid(f"max_num_results can be {_MOST} at most")
    kind = retrieval.maybe_text("retrieval_type")
    if kind is not None and kind not in _MODES:
        raise invalid(f"retrieval_type must be one of {', '.join(_MODES)}")
    rewrites = rewriting.found.get("enabled") is not None
    return Retrieval(
        passages=passages,
        mode=None if kind is None else _MODES[kind],
        rerank=reranking.flag("enabled", True),
        model=reranking.maybe_text("model"),
        rewrite=rewriting.flag("enabled") if rewrites else None,
    )


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
