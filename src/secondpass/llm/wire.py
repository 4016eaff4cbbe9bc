"""The wire format of a server: prompts as request bodies, responses as completions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from secondpass.errors import LLMError
from secondpass.llm.types import Completion, Prompt
from secondpass.remote.sse import Event

Body = dict[str, Any]


class StreamAssembler(ABC):
    """Puts a streamed answer together, event by event."""

    @abstractmethod
    def feed(self, event: Event) -> str:
        """Return the text that an event adds, which may be empty.

        Raises `LLMError` for an event that reports a failure, `ValueError` for one that
        cannot be read.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the server has marked the end of the answer."""

    @abstractmethod
    def completion(self) -> Completion:
        """Return the answer so far."""


class WireFormat(ABC):
    """One server's HTTP interface, without any input or output."""

    path: str
    """Where prompts are sent, after the base URL."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers of each request, beside the bearer token."""
        return {}

    @abstractmethod
    def build_body(
        self, model: str, prompt: Prompt, rejected: frozenset[str], stream: bool
    ) -> Body:
        """Return the request body, without the parameters that this server rejects."""

    @abstractmethod
    def rejected_parameter(self, status: int, request: Body, response: Any) -> str | None:
        """Return the parameter that an error response rejects, if it can be left out."""

    @abstractmethod
    def parse_completion(self, response: Any) -> Completion:
        """Return the completion in a response body; raises `ValueError` if there is none."""

    @abstractmethod
    def new_assembler(self) -> StreamAssembler:
        """Return an assembler for one streamed answer."""


def error_text(body: Any) -> str | None:
    """Return the message in an error's body, in any of the shapes in use, or None."""
    if isinstance(body, Mapping):
        error = body.get("error", body)
        if isinstance(error, str):
            return error
        if isinstance(error, Mapping):
            for name in ("message", "detail", "error"):
                if isinstance(error.get(name), str):
                    return str(error[name])
    return None


def stream_failed(event: Any) -> LLMError:
    """Return the error for a failure that was reported inside of a stream."""
    return LLMError(
        "The language model failed in the middle of its answer", why=error_text(event)
    )


def token_count(usage: Any, *names: str) -> int | None:
    """Return a number of tokens by the first name that is present; None if none is."""
    if isinstance(usage, Mapping):
        for name in names:
            value = usage.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
    return None
