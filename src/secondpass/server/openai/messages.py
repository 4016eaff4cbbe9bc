"""A conversation as OpenAI's clients send it: a question, and what was said before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.answer import Turn
from secondpass.inference.unicode import clean
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
