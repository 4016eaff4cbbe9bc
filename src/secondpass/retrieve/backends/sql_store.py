"""What the stores of all SQL engines share: words, filters, time-outs, errors."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from secondpass.errors import RetrieverError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import SQLDialect
from secondpass.retrieve.backends.table_columns import TableColumns
from secondpass.retrieve.filter_tree import parse_filter
from secondpass.retrieve.languages import ENGLISH_STOP_WORDS
from secondpass.retrieve.store_protocol import Hit, StoreInfo
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

T = TypeVar("T")
_STOP_WORDS = frozenset(ENGLISH_STOP_WORDS)


class SQLStore(ABC):
    """A table of an SQL database as a `SearchableStore`; a `ForeignStore` as well.

    An engine has `keywords` and `nearest`, which search, and `execute`, which counts.
    `dimension` is 0 until an embedder is found to fit.
    """

    def __init__(self, url: DatabaseURL, columns: TableColumns, info: StoreInfo) -> None:
        self.url = url
        self.columns = columns
        self.info = info
        self.dimension = 0

    @property
    def fields(self) -> Mapping[str, str]:
        """The columns that a filter can name, with the kind of each."""
        return self.columns.filtered

    @abstractmethod
    def dialect(self) -> SQLDialect:
        """Return a translator for one statement."""

    @abstractmethod
    def count_passages(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def keywords(
        self,
        words: Sequence[str],
        limit: int,
        condition: Callable[[SQLDialect], str | None],
        *,
        embeddings: bool,
        all_words: bool,
    ) -> list[Hit]:
        """Search for words, none of which has anything but letters, marks and digits."""

    @abstractmethod
    def nearest(
        self, embedding: Embedding, limit: int, condition: Callable[[SQLDialect], str | None]
    ) -> list[Hit]:
        """Search by cosine."""

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
        """Search by words, with the engine's own ranking; `weights` only names the words.

        `passages` are not scored, which would take a further query: the result is empty.
        """
        condition = self._condition(filter)
        words = query_words(query) if weights is None else list(weights)
        if not words or passages is not None:
            return []
        found = self.keywords(
            words,
            limit,
            condition,
            embeddings=embeddings and self.dimension > 0,
            all_words=all_words,
        )
        return found[:limit]

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Search by cosine, -1 to 1."""
        return self.nearest(embedding, limit, self._condition(filter))[:limit]

    def embeddings(self, passages: Sequence[Document]) -> dict[str, Embedding]:
        """Return no vectors, which would take a further query."""
        return {}

    def hits_of(self, rows: Sequence[Sequence[Any]], *, vectors: bool = False) -> list[Hit]:
        """Return the hits of rows: a score, the columns that are read, and a vector last."""
        names = self.columns.read
        named = [(dict(zip(names, row[1:], strict=False)), float(row[0])) for row in rows]
        found = [to_vector(row[-1]) for row in rows] if vectors else None
        return self.columns.hits(named, found)

    def documents_with_vectors(
        self, rows: Sequence[Sequence[Any]]
    ) -> list[tuple[Document, Embedding]]:
        """Return the documents of such rows that have a vector, with it."""
        hits = self.hits_of(rows, vectors=True)
        return [(hit.document, hit.embedding) for hit in hits if hit.embedding is not None]

    def _condition(self, filter: str | None) -> Callable[[SQLDialect], str | None]:  # noqa: A002
        # Parsed here, so that a filter that cannot be used is an error for any query.
        tree = parse_filter(filter, self.fields)
        if tree is not None:
            self.dialect().where(tree)
        return lambda dialect: None if tree is None else dialect.where(tree)


def query_words(query: str) -> list[str]:
    """Return the words of a query, each once, for engines that have operators.

    A word has letters, marks and digits only, so that none is an operator; the engine splits,
    stems and folds it as its index has it. English stop words are left out where others are
    left, as they cost time and hardly score.
    """
    text = unicodedata.normalize("NFC", clean(query))
    split = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
    words = list(dict.fromkeys(word for word in split.split() if not _is_mark(word)))
    return [word for word in words if word.lower() not in _STOP_WORDS] or words


def _is_mark(word: str) -> bool:
    return all(unicodedata.category(c)[0] == "M" for c in word)


def to_vector(value: Any) -> Embedding | None:
    """Return a stored vector, float32: bytes of float32, a JSON list, or a list; else None."""
    import json

    import numpy as np

    if isinstance(value, bytes | memoryview):
        data = bytes(value)
        return np.frombuffer(data, "<f4") if data and len(data) % 4 == 0 else None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    try:
        vector = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None


def failed(url: DatabaseURL, error: BaseException, *, timeout: bool = False) -> RetrieverError:
    """Return the error for what a client library raised, without the URL's secrets."""
    why = " ".join(str(error).split()) or type(error).__name__
    if url.secret:
        why = why.replace(url.secret, "***")
    if timeout:
        return RetrieverError(
            "the database took too long",
            where=url.redacted,
            why=f"a query is ended after {url.timeout:g} s",
            fix="Raise timeout= in the URL, or narrow the search with a filter.",
            timeout=True,
        )
    return RetrieverError("the database cannot be searched", where=url.redacted, why=why[:500])
