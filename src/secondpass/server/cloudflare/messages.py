"""The question in a request, and the conversation that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.server.cloudflare.search_form import MessageForm, SearchForm
from secondpass.server.http_errors import invalid


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `text` is the user's last message, or the query.

    - `history`: (role, text) of what was said before, by the user and the assistant.
    - `system`: what the model is told of how to answer, None where nothing is said.
    """

    text: str
    history: tuple[tuple[str, str], ...] = ()
    system: str | None = None


def question_of(body: SearchForm, *, messages_needed: bool = False) -> Question:
    """Return what a request asks; raises Problem (400) where it asks nothing, or twice."""
    query, messages = body.get("query"), body.get("messages")
    if query is not None and messages is not None:
        raise invalid("give query or messages, not both")
    if messages_needed and messages is None:
        raise invalid("messages is missing")
    if messages is not None:
        return _of_messages(messages)
    if query is None:
        raise invalid("query is missing, and so are messages")
    if not query.strip():
        raise invalid("query is blank")
    return Question(query)


def _of_messages(messages: Sequence[MessageForm]) -> Question:
    for number, message in enumerate(messages):
        if "role" not in message:
            raise invalid(f"messages.{number}.role is missing")
    said = [(m["role"], _text(m, n)) for n, m in enumerate(messages)]
    last = max((n for n, (role, _) in enumerate(said) if role == "user"), default=None)
    if last is None:
        raise invalid("messages: there is none of the user")
    if not said[last][1].strip():
        raise invalid("messages: the last one of the user has no text")
    system = [text for role, text in said if role in ("system", "developer") and text.strip()]
    history = [pair for pair in said[:last] if pair[0] in ("user", "assistant") and pair[1]]
    return Question(said[last][1], tuple(history), "\n\n".join(system) if system else None)


def _text(message: MessageForm, number: int) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(_part(part, f"messages.{number}.content") for part in content)


def _part(part: dict[str, Any], where: str) -> str:
    if part.get("type") != "text":
        kind = str(part.get("type"))[:50]
        raise invalid(f"{where}: only parts of type text are read here, not {kind!r}")
    if not isinstance(part.get("text"), str):
        raise invalid(f"{where}: a part has no text")
    return str(part["text"])
