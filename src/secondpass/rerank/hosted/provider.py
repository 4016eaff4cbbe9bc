"""The contract of a provider: where it is, its limits, its requests and responses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from secondpass.errors import InputError, MissingExtraError
from secondpass.inference.query_cut import shared_tokenizer
from secondpass.inference.unicode import clean
from secondpass.remote.client import HttpRequest, HttpResponse, Sign
from secondpass.remote.endpoint import ApiKey
from secondpass.rerank.scoring_options import ScoringOptions, field_text
from secondpass.types import Candidate, ScoreKind

Payload = str | dict[str, str]
"""One document as it is sent: a text, or fields where the provider reads fields."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold, and how much of one document is worth sending.

    - `documents`: the limit of documents; `bytes`: of the bytes of their texts in UTF-8.
    - `tokens`: the limit of tokens, the query counted once for each document;
      `tokens_per_document`: what one document counts at most, because the provider truncates
      it there. Both are estimated, see `fan_out.estimate_tokens`.
    - `characters`: of each document only so many are sent, because no model of the provider
      reads more.
    """

    documents: int
    tokens: int | None = None
    tokens_per_document: int | None = None
    bytes: int | None = None
    characters: int = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """A query and the documents of one request, at least one.

    - `fields`: the names of their fields, where documents are objects; `max_length`: how many
      tokens of each the model is asked to read, None for its own limit.
    - `instructions`: what the model should prefer; only for a model that
      `Provider.follows_instructions`.
    """

    model: str
    query: str
    documents: Sequence[Payload]
    fields: tuple[str, ...] = ()
    max_length: int | None = None
    max_tokens_per_doc: int | None = None
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class BatchScores:
    """The scores of a batch in its order, with what the provider counted.

    `tokens` and `searches` (billed units) are None where the response does not have them.
    """

    scores: Sequence[float]
    tokens: int | None = None
    searches: float | None = None


Send = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Provider(ABC):
    """One provider's HTTP interface.

    A subclass builds requests and parses responses; it holds no connection and no key, so that
    one object serves all threads.
    """

    name: ClassVar[str]
    """The prefix of its models' names, as in "cohere/rerank-v3.5"."""
    title: ClassVar[str]
    """Its name in messages and tables."""
    base_url: str | None = None
    """The default; None means that the caller must give one."""
    base_url_variables: ClassVar[tuple[str, ...]] = ()
    key_variables: ClassVar[tuple[str, ...]] = ()
    """Environment variables: the first that is set and not empty counts."""
    key_required: ClassVar[bool] = True
    model_required: ClassVar[bool] = True
    structure: Literal["text", "yaml", "fields"] = "text"
    """How a document of several fields is sent: joined, as YAML, or as an object."""
    supports_max_length: bool = False
    """Whether a request can say how many tokens of a document to read."""

    @abstractmethod
    def limits(self, model: str) -> Limits:
        """Return what one request to that model may hold."""

    @abstractmethod
    def score_kind(self, model: str) -> ScoreKind:
        """Return the kind of that model's scores."""

    def follows_instructions(self, model: str) -> bool:
        """Return whether that model can be told what to prefer."""
        return False

    def sign(self, key: ApiKey) -> Sign | None:
        """Return what makes the headers that authenticate a request.

        None sends the key as a bearer token. Raises `MissingExtraError` where a package that it
        takes is not installed.
        """
        return None

    @abstractmethod
    def build_request(self, batch: Batch) -> HttpRequest:
        """Return the HTTP request that asks for the scores of a batch."""

    @abstractmethod
    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Return the scores in a response; raise `ValueError` with the reason if it is bad."""

    async def fetch_limits(self, model: str, send: Send) -> Limits:
        """Return the limits, from the server where it publishes them."""
        return self.limits(model)

    def check_max_length(self, max_length: int | None) -> None:
        """Raise `InputError` for a `max_length` where the provider has no such option."""
        if max_length is not None and not self.supports_max_length:
            raise InputError(
                f"{self.title} has no option for max_length",
                why=f"max_length is {max_length}",
                fix="Leave max_length out, or truncate the documents.",
            )


BLANK = "."
"""What is sent for an empty text, which several providers refuse."""


@dataclass(frozen=True, slots=True)
class PreparedDocuments:
    """The documents to send, the names of their fields (or none), characters cut of each."""

    documents: Sequence[Payload]
    fields: tuple[str, ...]
    unread: Sequence[int]


def prepare_documents(
    candidates: Sequence[Candidate],
    options: ScoringOptions,
    provider: Provider,
    characters: int,
) -> PreparedDocuments:
    """Return the candidates in the provider's form, each truncated to so many characters.

    And to `max_tokens_per_doc`, counted with the bundled embedder's tokenizer.
    """
    texts = options.texts(candidates)
    structured = options.template is None and any(head for head, _ in texts)
    fields = options.names if structured and provider.structure == "fields" else ()
    documents: list[Payload] = []
    unread: list[int] = []
    for candidate, (head, body) in zip(candidates, texts, strict=True):
        kept_head = head[:characters]
        kept_body = body[: characters - len(kept_head)]
        if options.max_tokens_per_doc is not None:
            kept_head, kept_body = _first_tokens(
                kept_head, kept_body, options.max_tokens_per_doc
            )
        unread.append(len(head) + len(body) - len(kept_head) - len(kept_body))
        if fields:
            documents.append(_object(candidate, fields, len(kept_body)))
        elif structured and head and provider.structure == "yaml":
            whole = _object(candidate, options.names, len(kept_body))
            documents.append(to_yaml({k: v for k, v in whole.items() if v.strip()}))
        else:
            space = " " if head and options.template is None else ""
            text = clean(kept_head + space + kept_body)
            documents.append(text if text.strip() else BLANK)
    return PreparedDocuments(documents, fields, unread)


def _first_tokens(head: str, body: str, limit: int) -> tuple[str, str]:
    """Return what a document's first `limit` tokens are of its head and of its body."""
    tokens = shared_tokenizer().encode([head, body], limit + 1)
    kept = []
    for text, encoded in zip((head, body), tokens, strict=True):
        count = min(limit, len(encoded.ids))
        kept.append(text if count == len(encoded.ids) else text[: encoded.ends_at(count)])
        limit -= count
    return kept[0], kept[1]


def to_yaml(fields: dict[str, str]) -> str:
    """Return fields as YAML in their order, the form that Cohere recommends."""
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
    """Return the fields of one document, `last` characters of the last one."""
    values = {n: clean(field_text(candidate.document, n) or "") for n in names}
    values[names[-1]] = values[names[-1]][:last]
    if not any(v.strip() for v in values.values()):
        values[names[-1]] = BLANK
    return values


def scores_by_index(
    rows: object, count: int, *, score: str, index: str = "index", low: float = -math.inf
) -> list[float]:
    """Return the scores in the order of the request from rows of {index, score}.

    Raises `ValueError` unless each of the `count` documents has exactly one finite score
    of at least `low` (and, where `low` is 0, at most 1).
    """
    if not isinstance(rows, list):
        raise ValueError("it has no list of results")
    scores: dict[int, float] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            raise ValueError("a result is not an object")
        position = row.get(index)
        if isinstance(position, bool) or not isinstance(position, int):
            raise ValueError(f"a result has {index} {position!r:.40}")
        if not 0 <= position < count:
            raise ValueError(f"a result has {index} {position}, of {count} documents")
        if position in scores:
            raise ValueError(f"two results have {index} {position}")
        scores[position] = parse_number(row.get(score), score)
    if len(scores) != count:
        raise ValueError(f"it has {len(scores)} results for {count} documents")
    values = [scores[i] for i in range(count)]
    if low == 0 and not all(0 <= v <= 1 for v in values):
        raise ValueError("a score is not between 0 and 1")
    return values


def parse_number(value: object, name: str) -> float:
    """Return a finite number, or raise `ValueError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a result has {name} {value!r:.40}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"a result has {name} {result}")
    return result


def json_value(body: object, *path: str) -> Any:
    """Return the value at a path of keys, or None where any of them is missing."""
    for key in path:
        if not isinstance(body, Mapping):
            return None
        body = body.get(key)
    return body


def parse_count(value: object) -> int | None:
    """Return a number of tokens, or None for any other value.

    A bad count is no reason to refuse good scores.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and 0 <= value < 2**53 else None


def parse_amount(value: object) -> float | None:
    """Return a billed amount, or None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**53 else None


def error_message(body: object) -> str | None:
    """Return the message in an error's body, in any of the shapes that providers use."""
    if isinstance(body, str):
        return body
    if isinstance(body, Sequence):
        return error_message(body[0]) if body else None
    if not isinstance(body, Mapping):
        return None
    for key in ("message", "detail", "error", "errors", "msg"):
        if body.get(key):
            return error_message(body[key])
    return None
