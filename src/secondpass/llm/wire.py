"""What differs between servers: how a prompt becomes a body, and an answer a completion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from secondpass.errors import LLMError
from secondpass.llm.types import Completion, Prompt
from secondpass.remote.sse import Event

Body = dict[str, Any]


class Folding(ABC):
    """Puts a streamed answer together, event by event."""

    @abstractmethod
    def feed(self, event: Event) -> str:
        """Return the text that an event adds, which may be none.

        Raises `LLMError` for an event that reports a failure, `ValueError` for one that
        cannot be read.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the server has said that the answer is whole."""

    @abstractmethod
    def completion(self) -> Completion:
        """Return the answer so far."""


class Dialect(ABC):
    """One server's contract, without any input or output."""

    path: str
    """Where prompts are sent, after the base URL."""

    @abstractmethod
    def headers(self, key: str | None) -> Mapping[str, str]:
        """Return the headers of each request."""

    @abstractmethod
    def body(self, model: str, prompt: Prompt, refused: frozenset[str], stream: bool) -> Body:
        """Return the request; `refused` are parameters that this server does not take."""

    @abstractmethod
    def refusal(self, status: int, body: Body, answer: Any) -> str | None:
        """Return the parameter that the server refuses, if it is one to do without."""

    @abstractmethod
    def completion(self, answer: Any) -> Completion:
        """Return what an answer says; raises `ValueError` for one that cannot be read."""

    @abstractmethod
    def folding(self) -> Folding:
        """Return a new folding for one streamed answer."""


def error_text(answer: Any) -> str | None:
    """Return what a server's error says, in any of the shapes that are known, or None."""
    if isinstance(answer, Mapping):
        inner = answer.get("error", answer)
        if isinstance(inner, str):
            return inner
        if isinstance(inner, Mapping):
            for name in ("message", "detail", "error"):
                if isinstance(inner.get(name), str):
                    return str(inner[name])
    return None


def stream_failed(answer: Any) -> LLMError:
    """Return the error for a failure that was reported inside of a stream."""
    return LLMError(
        "The language model failed in the middle of its answer", why=error_text(answer)
    )


def count(usage: Any, *names: str) -> int | None:
    """Return a number of tokens by the first name that is there; None if none is."""
    if isinstance(usage, Mapping):
        for name in names:
            value = usage.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
    return None
