"""OpenAI's requests: conversations, retrieval and sampling options, texts to embed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.answer import Turn
from secondpass.inference.unicode import clean
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.openai.refusals import (
    CHAT_FIELDS,
    check_fields,
    check_text_format,
    check_tool_choice,
)

_INSTRUCTION_ROLES = ("system", "developer")
_TURN_ROLES = ("user", "assistant")
# Results of tools are not used: this server calls none.
_IGNORED_ROLES = ("tool", "function")
_MODES = {"vector": "vector", "keyword": "bm25", "hybrid": "hybrid"}
_MAX_PASSAGES = 50
_MAX_STOPS = 4
_FORMATS = ("float", "base64")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The last question, the turns before it, and the application's instructions."""

    question: str
    history: tuple[Turn, ...]
    instructions: str


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How passages are retrieved: None where the client leaves it to the server.

    - `passages`: how many are read, 1 to 50; `mode`: that of `Index.search`.
    - `rerank`: whether the second pass runs, by `model` where one is named; `rewrite`:
      whether a language model rewrites the query.
    """

    passages: int | None = None
    mode: str | None = None
    rerank: bool = True
    model: str | None = None
    rewrite: bool | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the text is generated: None where the client leaves it to the server.

    `temperature` is from 0 to 2, `top_p` from 0 to 1, `max_tokens` at least 1.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request; `model` names an index, and `include_usage` is for a stream."""

    model: str | None
    conversation: Conversation
    sampling: Sampling
    retrieval: Retrieval
    stream: bool
    include_usage: bool


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed; `format` is "float" or "base64", `model` None for the only one."""

    texts: tuple[str, ...]
    model: str | None
    format: str
    dimensions: int | None


def parse_chat(body: Body) -> ChatRequest:
    """Parse a chat request; raises HttpError (400) for values that are not supported."""
    if body.count("n") not in (None, 1):
        raise invalid("n can only be 1: there is one answer")
    check_text_format(body.fields.get("response_format"), "response_format")
    check_tool_choice(body)
    check_fields(body, CHAT_FIELDS)
    options = body.part("stream_options")
    name = body.maybe_text("model")
    return ChatRequest(
        model=None if name is None else clean(name),
        conversation=parse_messages(body),
        sampling=parse_sampling(body, "max_completion_tokens", "max_tokens"),
        retrieval=parse_retrieval(body.part("ai_search_options")),
        stream=body.flag("stream"),
        include_usage=options.flag("include_usage"),
    )


def parse_messages(body: Body) -> Conversation:
    """Parse `messages`: the last one of the user is the question, any after it are dropped.

    Raises HttpError (400) for a message that is not text, and where there is none of a user.
    """
    return parse_turns("messages", enumerate(body.items("messages")), ("text",))


def parse_turns(
    name: str, messages: Iterable[tuple[int, Any]], text_parts: Collection[str]
) -> Conversation:
    """Parse messages with their positions in the field `name`; see `parse_messages`.

    `text_parts` are the types of parts that are texts.
    """
    instructions: list[str] = []
    turns: list[Turn] = []
    for position, message in messages:
        where = f"{name}[{position}]"
        if not isinstance(message, Mapping):
            raise invalid(f"{where} must be an object")
        role = message.get("role")
        if role not in (*_INSTRUCTION_ROLES, *_TURN_ROLES, *_IGNORED_ROLES):
            raise invalid(f"{where}.role must be one of system, user and assistant")
        if role in _IGNORED_ROLES:
            continue
        text = clean(_message_text(message.get("content"), f"{where}.content", text_parts))
        if role in _INSTRUCTION_ROLES:
            instructions.append(text)
        elif text.strip():
            turns.append(Turn(str(role), text))
    user_turns = [position for position, turn in enumerate(turns) if turn.role == "user"]
    if not user_turns:
        raise invalid(f"{name} has no text of a user")
    last = user_turns[-1]
    return Conversation(turns[last].text, tuple(turns[:last]), "\n\n".join(instructions))


def _message_text(content: Any, where: str, text_parts: Collection[str]) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(f"{where} must be a string or a list of parts")
    texts = []
    for position, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else None
        if kind not in text_parts or not isinstance(text, str):
            raise invalid(f"{where}[{position}] is not text, which is all that is supported")
        texts.append(text)
    return "\n".join(texts)


def parse_retrieval(options: Body) -> Retrieval:
    """Parse `ai_search_options`, with the names that Cloudflare's AI Search gave them.

    Raises HttpError (400) for values that are out of range, and for filters, which are not
    supported here: to ignore them would be to answer from documents that they exclude.
    """
    retrieval, reranking, rewriting = (
        options.part(name) for name in ("retrieval", "reranking", "query_rewrite")
    )
    if retrieval.fields.get("filters"):
        raise invalid("filters are not supported on this path")
    passages = retrieval.count("max_num_results")
    if passages is not None and passages > _MAX_PASSAGES:
        raise invalid(f"max_num_results can be {_MAX_PASSAGES} at most")
    kind = retrieval.maybe_text("retrieval_type")
    if kind is not None and kind not in _MODES:
        raise invalid(f"retrieval_type must be one of {', '.join(_MODES)}")
    has_rewrite = rewriting.fields.get("enabled") is not None
    return Retrieval(
        passages=passages,
        mode=None if kind is None else _MODES[kind],
        rerank=reranking.flag("enabled", True),
        model=reranking.maybe_text("model"),
        rewrite=rewriting.flag("enabled") if has_rewrite else None,
    )


def parse_sampling(body: Body, *limits: str) -> Sampling:
    """Parse how the text is generated; the first of the fields `limits` is its length."""
    counts = (body.count(name) for name in limits)
    seed = body.fields.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise invalid("seed must be a whole number")
    stop = body.fields.get("stop")
    stops = (stop,) if isinstance(stop, str) else (body.texts("stop") or ())
    if len(stops) > _MAX_STOPS or "" in stops:
        raise invalid(f"stop can have {_MAX_STOPS} texts, none of them empty")
    return Sampling(
        next((count for count in counts if count is not None), None),
        _number(body, "temperature", 2),
        _number(body, "top_p", 1),
        seed,
        tuple(map(clean, stops)),
    )


def _number(body: Body, name: str, maximum: float) -> float | None:
    value = body.fields.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (math.isfinite(value) and 0 <= value <= maximum):
        raise invalid(f"{name} must be a number from 0 to {maximum:g}")
    return float(value)


def parse_embeddings(body: Body, *, zero_is_all: bool = False) -> EmbeddingRequest:
    """Parse a request for embeddings; raises HttpError (400) for token ids and non-texts.

    `zero_is_all`: whether 0 `dimensions` means all.
    """
    dimensions = body.count("dimensions", minimum=0 if zero_is_all else 1)
    if body.text("modality", "text") != "text":
        raise invalid("modality can only be text")
    encoding = body.text("encoding_format", "float")
    if encoding not in _FORMATS:
        raise invalid(f"encoding_format must be one of {', '.join(_FORMATS)}")
    name = body.maybe_text("model")
    return EmbeddingRequest(
        texts=tuple(map(clean, _input_texts(body.fields.get("input")))),
        model=clean(name) if name else None,
        format=encoding,
        dimensions=None if dimensions == 0 else dimensions,
    )


def _input_texts(value: Any) -> Sequence[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise invalid("input must be a text, or a list of at least one text")
    for position, text in enumerate(values):
        if isinstance(text, int | list):
            raise invalid(
                "input has token ids, which are those of another model: send texts "
                "(in LangChain: check_embedding_ctx_length=False)"
            )
        if not isinstance(text, str) or not text:
            raise invalid(f"input[{position}] must be a text that is not empty")
    return values
