"""OpenAI's responses: requests, whose input is a text or a list of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.openai.refusals import (
    RESPONSES_FIELDS,
    check_fields,
    check_text_format,
    check_tool_choice,
)
from secondpass.server.openai.schemas import (
    ChatRequest,
    Conversation,
    parse_retrieval,
    parse_sampling,
    parse_turns,
)

_TEXT_PARTS = ("input_text", "output_text", "text")
# Of calls of tools and of reasoning; this server makes none and reads none.
_IGNORED_ITEMS = ("_call", "_call_output", "reasoning", "compaction")
_LOGPROBS = "message.output_text.logprobs"


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A request for a response.

    - `chat`: the question and how it is answered; `fields`: those of the request, of which
      some are repeated in the response.
    """

    chat: ChatRequest
    fields: Mapping[str, Any]


def parse_responses(body: Body) -> ResponsesRequest:
    """Parse a request; raises HttpError (400) for values that are not supported.

    `store` may be true, as it is by default: the response says that it was not stored.
    """
    check_fields(body, RESPONSES_FIELDS)
    check_tool_choice(body)
    body.flag("store")
    text = body.part("text")
    check_text_format(text.fields.get("format"), "text.format")
    if text.text("verbosity", "medium") != "medium":
        raise invalid("text.verbosity is not supported: set max_output_tokens")
    if _LOGPROBS in (body.texts("include") or ()):
        raise invalid(f"include cannot have {_LOGPROBS}: log-probabilities are not returned")
    name = body.maybe_text("model")
    chat = ChatRequest(
        model=None if name is None else clean(name),
        conversation=_parse_input(body),
        sampling=parse_sampling(body, "max_output_tokens"),
        retrieval=parse_retrieval(body.part("ai_search_options")),
        stream=body.flag("stream"),
        include_usage=True,
    )
    return ResponsesRequest(chat, body.fields)


def _parse_input(body: Body) -> Conversation:
    value = body.fields.get("input")
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    elif value is None:
        raise invalid("input is missing")
    elif not isinstance(value, list):
        raise invalid("input must be a text or a list of messages")
    conversation = parse_turns("input", _messages(value), _TEXT_PARTS)
    instructions = clean(body.text("instructions", ""))
    if not instructions:
        return conversation
    both = [instructions, conversation.instructions]
    return replace(conversation, instructions="\n\n".join(filter(None, both)))


def _messages(items: list[Any]) -> Iterator[tuple[int, Any]]:
    for position, item in enumerate(items):
        kind = item.get("type", "message") if isinstance(item, Mapping) else "message"
        if kind == "item_reference":
            raise invalid(f"input[{position}] refers to an item, and none are stored: send it")
        if not isinstance(kind, str) or not kind.endswith(_IGNORED_ITEMS):
            yield position, item
