"""Protocols of document stores and text encoders, and the passages and hits they exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from secondpass.inference.query_cut import QueryCut
from secondpass.retrieve.settings import IndexSettings
from secondpass.types import Document, passage_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from secondpass.inference.tokenizer import TokenSequence

    Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Passage:
    """A document, or one chunk of it, as a store holds it.

    - `doc_id`, `chunk`: the id of the document, and the number of the passage there, from 1; 0
      where the document is one passage. The two together name the passage.
    - `start`, `end`: the span of `text` in the document's text, in characters.
    - `source`: the file it was read from, as the ingest recorded it.
    - `hash`: of the whole document and of how it was chunked and embedded.
    - `embedding`: `[dimension]` float32 of unit length; None in a store without vectors, or
      where callers bring the vectors and this passage has none.
    - `columns`: what filters see of the passage, instead of `metadata`.
    """

    doc_id: str
    text: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    chunk: int = 0
    start: int = 0
    end: int = 0
    source: str | None = None
    hash: str = ""
    embedding: Embedding | None = None
    columns: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """The id that users see; another document may have the same."""
        return passage_id(self.doc_id, self.chunk)


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result: `score` is a BM25 sum or a cosine, higher is better.

    `document` has the passage's id, title, text and the user's metadata; where the
    document was cut into several passages, it has its origin, and the metadata also has
    `document_id`, `chunk`, `start` and `end`. `embedding` is set where the search requested
    it.
    """

    score: float
    document: Document
    embedding: Embedding | None = None

    @property
    def id(self) -> str:
        """The id that users see; another passage may have the same."""
        return str(self.document.id)

    @property
    def key(self) -> str:
        """A name that no other passage has."""
        return self.document.key


class Hits(list[Hit]):
    """Hits of a store of others, and how many rows it found that cannot be hits, by reason.

    A reason follows the number, as in "3 rows without an id".
    """

    def __init__(
        self, hits: Iterable[Hit] = (), left_out: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        super().__init__(hits)
        self.left_out = {reason: count for reason, count in left_out.items() if count}

    def first(self, limit: int) -> Hits:
        """Return the first hits, with the same counts."""
        return Hits(self[:limit], self.left_out)


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a store, as it was after one write."""

    number: int
    created: datetime


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """The hash and the source file that all passages of a stored document carry."""

    hash: str
    source: str | None


class SearchableStore(Protocol):
    """Passages that can be searched by words (BM25) and by vectors (cosine).

    Searches may come from many threads, also while another one writes. Hits are ordered by
    falling score, then by document and number. A filter is an SQL condition over `fields`, and
    applies before the limit: `limit` hits pass it, where there are so many.
    """

    @property
    def dimension(self) -> int:
        """The length of a vector; 0 in a store without vectors."""

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each."""

    def count_passages(self) -> int:
        """Return the number of passages."""

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
        """Search by words; with `passages`, score only those.

        With `all_words`, only passages that have each word of the query, stop words aside.
        With `embeddings`, hits carry their vectors. With `weights`, these words are searched
        for instead of the query's, and what each adds to the score is multiplied.
        """

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Search by cosine, -1 to 1."""

    def embeddings(self, passages: Sequence[Document]) -> dict[str, Embedding]:
        """Return the vectors of those of these passages that are stored with one, by key."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store of others says of itself.

    - `name`: its URL without secrets; `engine`: the engine and its version.
    - `ranking`: how keyword search scores there; None where there is none.
    - `note`: what is left out here, and what to do about it; None where nothing is.
    """

    name: str
    engine: str
    ranking: str | None
    note: str | None = None


@runtime_checkable
class ForeignStore(Protocol):
    """A store that others fill, searched with one query per half and no more.

    Its `bm25` scores no given passages, `all_words` and `weights` may be ignored, and it has
    no keyword search where `info.ranking` is None. Its searches return `Hits` where they leave
    rows out.
    """

    @property
    def info(self) -> StoreInfo:
        """What the store says of itself."""

    def close(self) -> None:
        """Release its connections."""


@runtime_checkable
class KeepsPassages(Protocol):
    """A store that is asked for its passages by id, and whether they pass a filter.

    Its `bm25` scores given passages, with weights of words too, and it gives their vectors.
    """

    def passages_of(self, document_id: str) -> list[Hit]:
        """Return all passages of the document, or else the passage of this id; [] if none."""

    def matching(
        self,
        passages: Sequence[Document],
        filter: str | None,  # noqa: A002
    ) -> list[bool]:
        """Return which of these passages pass a filter, in their order; raises FilterError."""


class PassageStore(SearchableStore, KeepsPassages, Protocol):
    """A searchable store that keeps passages, such as that of an index."""

    @property
    def folder(self) -> Path:
        """Where the store keeps its files."""

    @property
    def keyword_note(self) -> str | None:
        """What keyword search does not do here, and how to renew it, or None."""


@runtime_checkable
class Versioned(Protocol):
    """A store that keeps its earlier states."""

    @property
    def version(self) -> int:
        """The number of the state that a search reads now."""

    def versions(self) -> list[Version]:
        """Return the states that can still be read, oldest first."""

    def checkout(self, version: int) -> SearchableStore:
        """Open one older state, for reading only; raises InputError where it is gone."""


class DocumentStore(SearchableStore, Versioned, Protocol):
    """A searchable store that documents are written to: the store of an index.

    Writes are atomic, and may come from several threads and processes, one at a time.
    """

    @property
    def folder(self) -> Path:
        """Where the store keeps its files."""

    @property
    def settings(self) -> IndexSettings:
        """How the store was made."""

    def upsert(
        self,
        passages: Sequence[Passage],
        *,
        delete: Iterable[str] = (),
        files: Mapping[str, str | None] = MappingProxyType({}),
        records: Mapping[str, DocumentRecord] | None = None,
    ) -> bool:
        """Store documents in one atomic step, replacing all passages of each.

        The same step removes the documents `delete`, and records in `files` the digest of each
        file that is now stored completely; None for one that no longer is. With the `records`
        that the caller has seen of all these documents, nothing is written, and False returned,
        if another writer has changed one of them since.
        """

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; return how many there were."""

    def count_documents(self) -> int:
        """Return the number of documents."""

    def lookup(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return the records of those of these documents that are stored, by id."""

    def files(self) -> dict[str, str | None]:
        """Return the files that documents were read from, each with its digest.

        None for a file that was not read to its end.
        """

    def delete_files(self, files: Iterable[str]) -> int:
        """Forget files, and remove the documents that were read from them; return how many."""

    def ids_by_source(self, source: str) -> set[str]:
        """Return the ids of the documents that were read from this file."""

    def count_by_document(self) -> Mapping[str, int]:
        """Return how many passages each document has; it reads the ids of all passages."""
        ...

    def set_source(self, ids: Sequence[str], source: str) -> None:
        """Record that these documents are now in another file."""

    def optimize(self) -> None:
        """Bring the search indexes up to date and merge small files."""

    def close(self) -> None:
        """Release the store; it can be opened again."""


class TextEncoder(Protocol):
    """Encodes texts as vectors of unit length.

    `digest` is a fingerprint of the model's weights and tokenizer.
    """

    name: str
    digest: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Return `[len(texts), dimension]` float32."""


@runtime_checkable
class CountsTokens(Protocol):
    """An encoder that can count the tokens of a text."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens, without the special ones."""


@runtime_checkable
class CutsQueries(Protocol):
    """An encoder that reads a part of a query that is too long for it."""

    def cut_query(self, query: str) -> QueryCut:
        """Return the part that is read, and how many characters are not."""


@runtime_checkable
class Remembers(Protocol):
    """An encoder that keeps, for each passage, what a reranker will need of it."""

    def remember(self, passages: Sequence[Passage]) -> None:
        """Record passages that are about to be stored."""


@runtime_checkable
class ReadsWindows(Remembers, Protocol):
    """An encoder that remembers passages in steps, as long ones take long."""

    def unread_windows(self, passages: Sequence[Passage]) -> Sequence[TokenSequence]:
        """Return the windows of passages that are still to be read."""

    def read_windows(self, sequences: Sequence[TokenSequence]) -> None:
        """Read windows and record what a reranker will need of them."""


def searchable(title: str | None, text: str) -> str:
    """Return what is indexed and embedded: the title, a line break, the text."""
    return text if title is None else f"{title}\n{text}"
