"""What the stores of all SQL engines share: words, filters, time-outs, errors."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.errors import RetrieverError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import SQLDialect
from secondpass.retrieve.backends.table_store import TableStore
from secondpass.retrieve.backends.vector_fit import to_vector
from secondpass.retrieve.filter_tree import parse_filter
from secondpass.retrieve.languages import ENGLISH_STOP_WORDS
from secondpass.retrieve.store_protocol import Hits
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

Condition = Callable[[SQLDialect], str | None]
"""What translates the filter of a search for one statement, None where there is none."""
_STOP_WORDS = frozenset(ENGLISH_STOP_WORDS)


class SQLStore(TableStore):
    """A table of an SQL database as a `SearchableStore`; a `ForeignStore` as well.

    An engine has `keywords` and `nearest`, which search.
    """

    @abstractmethod
    def dialect(self) -> SQLDialect:
        """Return a translator for one statement."""

    @abstractmethod
    def keywords(
        self,
        words: Sequence[str],
        limit: int,
        condition: Condition,
        vectors: bool,
        all_words: bool,
    ) -> Hits:
        """Search for words, none of which has anything but letters, marks and digits."""

    @abstractmethod
    def nearest(self, embedding: Embedding, limit: int, condition: Condition) -> Hits:
        """Search by cosine."""

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
        """Search by words, with the engine's own ranking; `weights` only names the words.

        `passages` are not scored, which would take a further query: the result is empty.
        """
        condition = self._condition(filter)
        words = query_words(query) if weights is None else list(weights)
        if not words or passages is not None:
            return Hits()
        found = self.keywords(
            words, limit, condition, embeddings and self.dimension > 0, all_words
        )
        return found.first(limit)

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> Hits:
        """Search by cosine, -1 to 1."""
        return self.nearest(embedding, limit, self._condition(filter)).first(limit)

    def hits_of(self, rows: Sequence[Sequence[Any]], *, vectors: bool = False) -> Hits:
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

    def _condition(self, filter: str | None) -> Condition:  # noqa: A002
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
