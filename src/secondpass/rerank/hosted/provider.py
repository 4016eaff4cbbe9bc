"""What a provider must say: where it is, what it admits, how it is asked and answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from secondpass.errors import InputError
from secondpass.types import ScoreKind

Payload = str | dict[str, str]
"""One document as it is sent: a text, or fields where the provider reads fields."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold, and how much of one document is worth sending.

    - `documents`: the most documents; `bytes`: the most bytes of their texts in UTF-8.
    - `tokens`: the most tokens, the query counted once for each document; `each`: the
      most tokens that one document counts for. Both are estimated, see `estimate`.
    - `characters`: what of a document lies behind this many is not sent, because no model
      there reads it.
    """

    documents: int
    tokens: int | None = None
    each: int | None = None
    bytes: int | None = None
    characters: int = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request's worth of documents, at least one."""

    model: str
    query: str
    documents: Sequence[Payload]
    fields: tuple[str, ...] = ()
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: a path below the base URL and a body that becomes JSON."""

    path: str
    body: Mapping[str, Any] | None
    method: Literal["GET", "POST"] = "POST"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back with status 200: the JSON value, and headers in lower case."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The scores in the order of the request, with what the provider counted.

    `tokens` and `units` (searches, as they are billed) are None where it does not say.
    """

    scores: Sequence[float]
    tokens: int | None = None
    units: float | None = None


Send = Callable[[Request], Awaitable[Reply]]


class Provider(ABC):
    """One provider's dialect; a subclass holds no connection, so one serves all threads."""

    name: ClassVar[str]
    """The prefix of its models' names, as in "cohere/rerank-v3.5"."""
    title: ClassVar[str]
    """What it is called in messages and tables."""
    base_url: ClassVar[str | None] = None
    """Where it is; None means that the caller must say it."""
    base_url_variables: ClassVar[tuple[str, ...]] = ()
    key_variables: ClassVar[tuple[str, ...]] = ()
    """Environment variables to look into, the first one that is set and not empty counts."""
    key_needed: ClassVar[bool] = True
    model_needed: ClassVar[bool] = True
    structure: Literal["text", "yaml", "fields"] = "text"
    """How a document of several fields is sent: joined, as YAML, or as an object."""
    sets_length: bool = False
    """Whether it can be told how many tokens of a document to read."""

    @abstractmethod
    def limits(self, model: str) -> Limits:
        """What one request to that model may hold."""

    @abstractmethod
    def kind(self, model: str) -> ScoreKind:
        """What that model's scores are."""

    @abstractmethod
    def request(self, call: Call) -> Request:
        """Say what to send."""

    @abstractmethod
    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read an answer; raise `ValueError` with the reason for one that is not sound."""

    async def ask_limits(self, model: str, send: Send) -> Limits:
        """Return the limits, asking the server for them where it tells."""
        return self.limits(model)

    def check_length(self, max_length: int | None) -> None:
        """Raise `InputError` for a `max_length` that the provider cannot be told."""
        if max_length is not None and not self.sets_length:
            raise InputError(
                f"{self.title} cannot be told how many tokens to read",
                why=f"max_length is {max_length}",
                fix="Leave max_length out, or cut the documents.",
            )
