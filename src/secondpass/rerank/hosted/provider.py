"""What a provider must say: where it is, what it admits, how it is asked and answers.

Candidates as the texts that are sent: joined, as YAML or as fields.

Answers of servers, which are not trusted: every score, for every document, once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from secondpass.errors import InputError, MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.rerank.scoring_options import ScoringOptions, field_text
from secondpass.types import Candidate, ScoreKind

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


BLANK = "."
"""What is sent for a text with nothing in it, which several providers refuse."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The documents to send, the names of their fields (or none), what was cut of each."""

    documents: Sequence[Payload]
    fields: tuple[str, ...]
    unread: Sequence[int]


def prepare(
    candidates: Sequence[Candidate],
    reading: ScoringOptions,
    provider: Provider,
    characters: int,
) -> Prepared:
    """Return the candidates as a provider wants them, each cut to so many characters."""
    texts = reading.texts(candidates)
    structured = reading.template is None and any(head for head, _ in texts)
    fields = reading.names if structured and provider.structure == "fields" else ()
    documents: list[Payload] = []
    unread: list[int] = []
    for candidate, (head, body) in zip(candidates, texts, strict=True):
        kept_head = head[:characters]
        kept_body = body[: characters - len(kept_head)]
        unread.append(len(head) + len(body) - len(kept_head) - len(kept_body))
        if fields:
            documents.append(_object(candidate, fields, len(kept_body)))
        elif structured and head and provider.structure == "yaml":
            whole = _object(candidate, reading.names, len(kept_body))
            documents.append(to_yaml({k: v for k, v in whole.items() if v.strip()}))
        else:
            space = " " if head and reading.template is None else ""
            text = clean(kept_head + space + kept_body)
            documents.append(text if text.strip() else BLANK)
    return Prepared(documents, fields, unread)


def to_yaml(fields: dict[str, str]) -> str:
    """Return fields as YAML in their order, the form Cohere recommends for such documents."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "Sending documents with fields", package="PyYAML", extra="hosted"
        ) from error
    # PyYAML writes the rare line break U+0085 so that it is read back as a space.
    fields = {name: value.replace("\x85", "\n") for name, value in fields.items()}
    return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1 << 20))


def _object(candidate: Candidate, names: Sequence[str], last: int) -> dict[str, str]:
    """Return the fields of one document; of the last one only so many characters."""
    found = {n: clean(field_text(candidate.document, n) or "") for n in names}
    found[names[-1]] = found[names[-1]][:last]
    if not any(v.strip() for v in found.values()):
        found[names[-1]] = BLANK
    return found


def scores_by_index(
    rows: object, count: int, *, score: str, index: str = "index", low: float = -math.inf
) -> list[float]:
    """Return the scores in the order of the request from rows of {index, score}.

    Raises `ValueError` unless each of the `count` documents has exactly one finite score
    of at least `low` (and, where `low` is 0, at most 1).
    """
    if not isinstance(rows, list):
        raise ValueError("it holds no list of results")
    found: dict[int, float] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            raise ValueError("a result is not an object")
        position = row.get(index)
        if isinstance(position, bool) or not isinstance(position, int):
            raise ValueError(f"a result has {index} {position!r:.40}")
        if not 0 <= position < count:
            raise ValueError(f"a result has {index} {position}, of {count} documents")
        if position in found:
            raise ValueError(f"two results have {index} {position}")
        found[position] = number(row.get(score), score)
    if len(found) != count:
        raise ValueError(f"it has {len(found)} results for {count} documents")
    values = [found[i] for i in range(count)]
    if low == 0 and not all(0 <= v <= 1 for v in values):
        raise ValueError("a score is not between 0 and 1")
    return values


def number(value: object, name: str) -> float:
    """Return a finite number, or raise `ValueError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a result has {name} {value!r:.40}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"a result has {name} {found}")
    return found


def member(body: object, *path: str) -> Any:
    """Return what stands at a path of keys, or None where any of them is missing."""
    for key in path:
        if not isinstance(body, Mapping):
            return None
        body = body.get(key)
    return body


def count_of(value: object) -> int | None:
    """Return a number of tokens, or None for anything that is none.

    What was counted is no reason to refuse sound scores.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and 0 <= value < 2**53 else None


def amount_of(value: object) -> float | None:
    """Return a billed amount, or None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 else None


def message_of(body: object) -> str | None:
    """Return the message in an error's body, in any of the shapes that providers use."""
    if isinstance(body, str):
        return body
    if isinstance(body, Sequence):
        return message_of(body[0]) if body else None
    if not isinstance(body, Mapping):
        return None
    for key in ("message", "detail", "error", "errors", "msg"):
        if body.get(key):
            return message_of(body[key])
    return None
