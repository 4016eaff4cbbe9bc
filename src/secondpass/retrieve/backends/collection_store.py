"""Stores over collections of vector databases and search engines, which have no columns.

A collection's fields are those of a sample of its documents, and whatever later hits have.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from secondpass.errors import InputError, MissingExtraError, RetrieverError, SecondpassError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.table_columns import TableColumns, choose_columns
from secondpass.retrieve.backends.table_store import TableStore
from secondpass.retrieve.filter_tree import Filter, filter_holds, parse_filter
from secondpass.retrieve.store_protocol import Hits
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


class CollectionStore(TableStore):
    """A `SearchableStore` and `ForeignStore` over one collection.

    `columns` are the roles of the fields, as sampled; with `fields` in the URL they stay so.
    """

    client: Any

    @abstractmethod
    def translate(self, tree: Filter) -> Any:
        """Return a filter in the engine's form; True and False hold for all and for none."""

    @abstractmethod
    def search_words(self, query: str, limit: int, condition: Any, vectors: bool) -> list[Row]:
        """Search by words, in one query; with `vectors`, rows have them where it costs none.

        `condition` is a translated filter, None for all documents.
        """

    @abstractmethod
    def search_vectors(self, embedding: Embedding, limit: int, condition: Any) -> list[Row]:
        """Search by vectors, in one query; scores are cosines."""

    @abstractmethod
    def sample(self) -> list[Row]:
        """Return the first documents with their vectors."""

    @staticmethod
    @abstractmethod
    def classify(error: Exception) -> Problem | None:
        """Return what an error of the client is about; None for one that is not its own."""

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
    ) -> Hits:
        """Search by words; given `passages` are not scored, and `weights` not used."""
        condition = self._condition(filter)
        words = clean(query).replace("\0", " ")
        unsearched = self.info.ranking is None or passages is not None or not words.strip()
        if unsearched or condition is False:
            return Hits()
        rows = self.call(lambda: self.search_words(words, limit, condition, embeddings))
        return self._hits(rows, embeddings).first(limit)

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> Hits:
        """Search by cosine, -1 to 1."""
        condition = self._condition(filter)
        if condition is False:
            return Hits()
        rows = self.call(lambda: self.search_vectors(embedding, limit, condition))
        inside = [replace(row, score=min(1.0, max(-1.0, row.score))) for row in rows]
        return self._hits(inside, False).first(limit)

    def call(self, function: Callable[[], T]) -> T:
        """Run a query; one that lost its connection is run once more.

        Raises RetrieverError where the database fails.
        """
        return call_client(function, self.url, self.classify)

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def probe(self) -> list[tuple[Document, Embedding]]:
        """Return the sampled documents that have a vector, with it."""
        return [
            (self.columns.document(self._complete(row)), row.vector)
            for row in self.call(self.sample)
            if row.vector is not None
        ]

    def _condition(self, text: str | None) -> Any:
        # No client can encode lone surrogates.
        tree = parse_filter(clean(text) if isinstance(text, str) else text, self.fields)
        condition = True if tree is None else self.translate(tree)
        return None if condition is True else condition

    def _hits(self, rows: Sequence[Row], vectors: bool) -> Hits:
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


def choose_sampled(
    url: DatabaseURL,
    name: str,
    kinds: Mapping[str, str],
    *,
    empty: bool,
    key_kind: str = "text",
) -> tuple[TableColumns, str, str | None]:
    """Return the roles of sampled fields, what the engine's own id is called, and a note.

    The own id, of the kind `key_kind`, is "id" where no field is called so.
    """
    key = "id" if "id" not in kinds else "_id"
    known, note = add_named(url, {key: key_kind, **kinds}, empty=empty)
    return choose_columns(url, known, table=name, key=key), key, note


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
