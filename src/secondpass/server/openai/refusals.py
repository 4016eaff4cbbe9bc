"""Fields of OpenAI's requests that ask for another answer than this server can give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body

_NO_LOGPROBS = "log-probabilities are not returned"
_NO_PENALTIES = "the penalties of tokens are not passed on to a language model"
_NO_MODERATION = "no moderation is offered"

# The values that change nothing, and why others are refused.
CHAT_FIELDS: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "logprobs": ((False,), _NO_LOGPROBS),
    "top_logprobs": ((0,), _NO_LOGPROBS),
    "logit_bias": (({},), _NO_PENALTIES),
    "presence_penalty": ((0,), _NO_PENALTIES),
    "frequency_penalty": ((0,), _NO_PENALTIES),
    "modalities": ((["text"],), "answers are texts"),
    "audio": ((), "answers are texts"),
    "verbosity": (("medium",), "the length of answers is set by max_tokens"),
    "web_search_options": ((), "answers come from the indexes of this server"),
    "moderation": ((), _NO_MODERATION),
}
RESPONSES_FIELDS: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "previous_response_id": ((), "responses are not stored: send the conversation as input"),
    "conversation": ((), "conversations are not stored: send the conversation as input"),
    "background": ((False,), "responses are not stored: wait for the response or stream it"),
    "prompt": ((), "prompts are not stored: send the text as instructions"),
    "context_management": (([],), "the conversation is not compacted"),
    "top_logprobs": ((0,), _NO_LOGPROBS),
    "moderation": ((), _NO_MODERATION),
}


def check_fields(body: Body, fields: Mapping[str, tuple[tuple[Any, ...], str]]) -> None:
    """Raise HttpError (400) for a field with a value that would change the answer."""
    for name, (allowed, reason) in fields.items():
        value = body.fields.get(name)
        if value is not None and value not in allowed:
            raise invalid(f"{name} is not supported: {reason}")


def check_tool_choice(body: Body) -> None:
    """Raise HttpError (400) where a call of a tool is required.

    Tools are accepted where the choice is left to the server, which then calls none.
    """
    for name in ("tool_choice", "function_call"):
        choice = body.fields.get(name)
        if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
            # Chat completions nest what the responses have beside the type.
            inner = choice.get("allowed_tools")
            choice = (inner if isinstance(inner, Mapping) else choice).get("mode")
        if choice not in (None, "auto", "none"):
            raise invalid(
                f"{name} can only be auto or none: this server calls no tools, "
                "its answers are texts with citations"
            )


def check_text_format(value: Any, name: str) -> None:
    """Raise HttpError (400) for an answer in another format than text."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    if value is not None and kind != "text":
        raise invalid(f"{name} can only be text: answers are texts with citations")


def not_stored() -> HttpError:
    """Return the error of a request for a response that was made before."""
    return HttpError(
        404, "not found", "responses are not stored: there is none to get, cancel or delete"
    )
