"""The query of a request, the messages before it, and its rewriting into a search query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.answer import Turn
from secondpass.answer.prompt import format_conversation
from secondpass.answer.query_rewriting import REWRITE_PROMPT
from secondpass.answer.query_rewriting import rewrite_query as rewrite_turns
from secondpass.inference.tokenizer import clean
from secondpass.llm import LLM
from secondpass.server.cloudflare.schemas import Message, SearchBody
from secondpass.server.http_errors import invalid


@dataclass(frozen=True, slots=True)
class Conversation:
    """A query and its context.

    - `query`: the query, or the last message of the user.
    - `history`: (role, text) of the messages of user and assistant before it.
    - `system`: the system prompt, None if there is none.
    """

    query: str
    history: tuple[tuple[str, str], ...] = ()
    system: str | None = None


def parse_conversation(body: SearchBody, *, require_messages: bool = False) -> Conversation:
    """Return the query or the messages of a body; raises HttpError (400) for both or none."""
    query, messages = body.get("query"), body.get("messages")
    if query is not None and messages is not None:
        raise invalid("give query or messages, not both")
    if require_messages and messages is None:
        raise invalid("messages is missing")
    if messages is not None:
        return _parse_messages(messages)
    if query is None:
        raise invalid("query is missing, and so are messages")
    if not query.strip():
        raise invalid("query is blank")
    return Conversation(query)


def _parse_messages(messages: Sequence[Message]) -> Conversation:
    for i, message in enumerate(messages):
        if "role" not in message:
            raise invalid(f"messages.{i}.role is missing")
    turns = [(message["role"], _message_text(message, i)) for i, message in enumerate(messages)]
    last = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=None)
    if last is None:
        raise invalid("messages: there is none of the user")
    query = turns[last][1]
    if not query.strip():
        raise invalid("messages: the last one of the user has no text")
    system = [text for role, text in turns if role in ("system", "developer") and text.strip()]
    history = [
        (role, text) for role, text in turns[:last] if role in ("user", "assistant") and text
    ]
    return Conversation(query, tuple(history), "\n\n".join(system) if system else None)


def _message_text(message: Message, index: int) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(_part_text(part, f"messages.{index}.content") for part in content)


def _part_text(part: dict[str, Any], where: str) -> str:
    if part.get("type") != "text":
        kind = str(part.get("type"))[:50]
        raise invalid(f"{where}: only parts of type text are supported, not {kind!r}")
    if not isinstance(part.get("text"), str):
        raise invalid(f"{where}: a part has no text")
    return str(part["text"])


def rewrite_query(llm: LLM | None, conversation: Conversation, prompt: str | None) -> str:
    """Return a query that stands by itself, rewritten by a language model.

    `prompt` replaces the default system prompt. Without a model, or if it fails, the query is
    returned unchanged.
    """
    if llm is None:
        return conversation.query
    rewritten = rewrite_turns(
        llm,
        conversation.query,
        _turns(conversation),
        system_prompt=prompt or REWRITE_PROMPT,
    )
    return clean(rewritten.query)


def format_history(conversation: Conversation) -> str:
    """Return the history as a part of a prompt; "" if there is none."""
    return format_conversation("", _turns(conversation)).removesuffix("Now: ")


def _turns(conversation: Conversation) -> list[Turn]:
    return [Turn(role, text) for role, text in conversation.history]
