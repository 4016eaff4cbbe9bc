"""Stores over collections of vector databases and search engines, which have no columns.

A collection's fields are those of a sample of its documents, and whatever later hits have.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from secondpass.errors import InputError, MissingExtraError, RetrieverError, SecondpassError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.table_columns import TableColumns
from secondpass.retrieve.backends.vector_fit import fit_embedder
from secondpass.retrieve.filter_tree import Filter, filter_holds, parse_filter
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.store_protocol import Hit, StoreInfo, TextEncoder
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

T = TypeVar("T")
SAMPLED_ROWS = 256
"""How many documents are read to find out which fields there are."""
ANY_KIND = "any"
"""The kind of a field that only the URL names: a filter may compare it with any value."""
_MAX_NESTED = 3
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")
_MIXED = {
    frozenset(("integer", "number")): "number",
    **{frozenset((kind, "text")): "text" for kind in ("date", "datetime")},
    frozenset(("date", "datetime")): "datetime",
}
Problem = Literal["connection", "timeout", "request"]


@dataclass(frozen=True, slots=True)
class Row:
    """A document as an engine returns it: its fields, a score, and its vector if asked for."""

    values: Mapping[str, Any]
    score: float = 0.0
    vector: Embedding | None = None


class CollectionStore(ABC):
    """A `SearchableStore` and `ForeignStore` over one collection; it only reads.

    `columns` are the roles of the fields, as sampled; with `fields` in the URL they stay so.
    """

    def __init__(self, url: DatabaseURL, columns: TableColumns, info: StoreInfo) -> None:
        self.url = url
        self.columns = columns
        self.info = info
        self.dimension = 0

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each."""
        return self.columns.filtered

    @abstractmethod
    def count_passages(self) -> int:
        """Return the number of documents."""

    @abstractmethod
    def search_words(
        self, query: str, limit: int, tree: Filter | None, vectors: bool
    ) -> Iterable[Row]:
        """Search by words, in one query; with `vectors`, rows have them where it costs none."""

    @abstractmethod
    def search_vectors(
        self, embedding: Embedding, limit: int, tree: Filter | None
    ) -> Iterable[Row]:
        """Search by vectors, in one query; scores are cosines."""

    @abstractmethod
    def classify(self, error: Exception) -> Problem | None:
        """Return what an error of the client is about; None for one that is not its own."""

    @abstractmethod
    def close(self) -> None:
        """Release the connections."""

    def bm25(
        self,
        query: str,
        limit: int,
        filter: str | None = None,  # noqa: A002 - the field's own word
        *,
        passages: Sequence[Document] | None = None,
        embeddings: bool = False,
        all_words: bool = False,
        weights: Mapping[str, float] | None = None,
    ) -> list[Hit]:
        """Search by words; given `passages` are not scored, and `weights` not used."""
        tree = self._parse(filter)
        words = clean(query).replace("\0", " ")
        if self.info.ranking is None or passages is not None or not words.strip():
            return []
        rows = self.call(lambda: list(self.search_words(words, limit, tree, embeddings)))
        return self._hits(rows, embeddings)[:limit]

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Search by cosine, -1 to 1."""
        tree = self._parse(filter)
        rows = self.call(lambda: list(self.search_vectors(embedding, limit, tree)))
        inside = [replace(row, score=min(1.0, max(-1.0, row.score))) for row in rows]
        return self._hits(inside, False)[:limit]

    def embeddings(self, passages: Sequence[Document]) -> dict[str, Embedding]:
        """Return nothing: that would be one query more."""
        return {}

    def call(self, function: Callable[[], T]) -> T:
        """Run a query; one that lost its connection is run once more.

        Raises RetrieverError where the database fails.
        """
        return call_client(function, self.url, self.classify)

    def fit(
        self,
        embedder: TextEncoder | None,
        dimension: int | None,
        rows: Callable[[], Iterable[Row]],
        note: str | None = None,
    ) -> HybridRetriever:
        """Return a retriever over this store, with the embedder if the vectors are its own.

        `dimension` is that of the vectors, None where it is not known; `rows` returns some
        documents with theirs. `note` is what keyword search lacks. Raises InputError where
        neither half can search.
        """
        column = self.columns.vector

        def probe() -> list[tuple[Document, Embedding]]:
            return [
                (self.columns.document(self._complete(row)), row.vector)
                for row in self.call(lambda: list(rows()))
                if row.vector is not None
            ]

        fitting, why = fit_embedder(embedder, column, dimension, probe)
        if fitting is None and self.info.ranking is None:
            raise InputError(
                "the collection can be searched neither by words nor by vectors",
                where=self.url.redacted,
                why=why,
                fix=note,
            )
        self.dimension = 0 if fitting is None else fitting.dimension
        notes = [text for text in (why, note) if text is not None]
        self.info = replace(self.info, note="; ".join(notes) or None)
        return HybridRetriever(self, fitting)

    def _parse(self, condition: str | None) -> Filter | None:
        # No client can encode lone surrogates.
        return parse_filter(
            clean(condition) if isinstance(condition, str) else condition, self.fields
        )

    def _hits(self, rows: Sequence[Row], vectors: bool) -> list[Hit]:
        if self.url.fields is None:
            self._learn(rows)
        found = [(self._complete(row), row.score) for row in rows]
        return self.columns.hits(found, [row.vector for row in rows] if vectors else None)

    def _complete(self, row: Row) -> dict[str, Any]:
        return {name: row.values.get(name) for name in self.columns.read}

    def _learn(self, rows: Iterable[Row]) -> None:
        new = {n: v for r in rows for n, v in r.values.items() if n not in self.columns.kinds}
        if not new:
            return
        kinds = {name: kind_of(value) for name, value in new.items()}
        self.columns = replace(
            self.columns,
            fields={**self.columns.fields, **kinds},
            kinds={**self.columns.kinds, **kinds},
        )


def search_deeper(
    find: Callable[[int], list[Row]], limit: int, check: Filter | None
) -> list[Row]:
    """Return up to `limit` rows that pass `check`, of an engine that lets others through too.

    `find` returns the first rows of a depth; it is asked again, deeper, until enough pass.
    """
    depth = limit
    while True:
        rows = find(depth)
        passed = rows
        if check is not None:
            passed = [row for row in rows if filter_holds(check, row.values)]
        if len(passed) >= limit or len(rows) < depth:
            return passed[:limit]
        depth *= 4


def call_client(
    function: Callable[[], T],
    url: DatabaseURL,
    classify: Callable[[Exception], Problem | None],
) -> T:
    """Run a function of a client, once more after a lost connection.

    Raises RetrieverError, with the redacted URL, for what `classify` knows as an error.
    """
    try:
        return function()
    except Exception as error:
        problem = None if isinstance(error, SecondpassError) else classify(error)
        if problem is None:
            raise
        if problem != "connection":
            fail(url, error, problem)
    try:
        return function()
    except Exception as error:
        problem = None if isinstance(error, SecondpassError) else classify(error)
        if problem is None:
            raise
        fail(url, error, problem)


def fail(url: DatabaseURL, error: Exception, problem: Problem) -> NoReturn:
    """Raise RetrieverError for an error of a client, without the secret of the URL."""
    why = " ".join(str(error).split())[:300] or type(error).__name__
    if url.secret:
        why = why.replace(url.secret, "***")
    what, fix = {
        "connection": (
            f"{url.scheme} cannot be reached",
            "Check the address, and that the server runs.",
        ),
        "timeout": (
            f"{url.scheme} did not answer in {url.timeout:g} s",
            "Give it longer with timeout=SECONDS in the URL.",
        ),
        "request": (f"{url.scheme} refused the search", None),
    }[problem]
    raise RetrieverError(
        what, where=url.redacted, why=why, fix=fix, timeout=problem == "timeout"
    ) from error


def load_client(name: str, *, package: str, extra: str, feature: str) -> Any:
    """Import an engine's client; raises MissingExtraError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(feature, package=package, extra=extra) from error


def is_encrypted(url: DatabaseURL) -> bool:
    """Return whether the URL says https=true; raises InputError for another word."""
    value = url.options.get("https", "false").lower()
    if value not in ("true", "false"):
        raise InputError(
            f"https cannot be {value!r}", where=url.redacted, fix="Write https=true."
        )
    return value == "true"


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested objects as dotted names, `metadata.year`; lists stay as they are."""
    return dict(_flatten(values, "", 0))


def _flatten(values: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value and depth < _MAX_NESTED:
            yield from _flatten(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value


def add_named(
    url: DatabaseURL, kinds: Mapping[str, str], *, empty: bool
) -> tuple[dict[str, str], str | None]:
    """Return sampled fields with those that only the URL names, and a note on these.

    No document of the sample may have a title, a parent or a field that others have; a text
    or an id that none has is a mistake, but in an empty collection.
    """
    roles = {"title": url.title, "parent": url.parent, "chunk": url.chunk}
    if empty:
        roles |= {"text": url.text, "id": url.id}
    named = {name: "text" for name in roles.values() if name is not None}
    named |= {name: ANY_KIND for name in url.fields or () if name not in named}
    missing = [name for name in named if name not in kinds]
    note = None
    if missing and not empty:
        note = (
            f"none of the first {SAMPLED_ROWS} documents has {', '.join(missing)}, which the "
            "URL names; check the spelling"
        )
    return {**kinds, **{name: named[name] for name in missing}}, note


def kind_of(value: object) -> str:
    """Return the kind of field that a value is of."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, datetime):
        return "datetime"
    return "text" if isinstance(value, str) else "json"


def sample_kinds(rows: Iterable[Mapping[str, Any]], *, times: bool = False) -> dict[str, str]:
    """Return the fields of sampled documents with the kind of each, in order of appearance.

    A field of numbers is "number" if one has a fraction; one of several kinds is "json", which
    documents carry and filters cannot name. With `times`, texts that are all dates or times of
    ISO 8601 are of the kind "date" or "datetime".
    """
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            if value is None:
                kinds.setdefault(name, "")
                continue
            kind, known = kind_of(value), kinds.get(name, "")
            if times and isinstance(value, str) and _TIME.fullmatch(value):
                kind = "date" if len(value) == 10 else "datetime"
            if known in ("", kind):
                kinds[name] = kind
            else:
                kinds[name] = _MIXED.get(frozenset((kind, known)), "json")
    # Nothing but NULL so far: a text, as good a guess as any.
    return {name: kind or "text" for name, kind in kinds.items()}
