"""What a first stage is: a small store of passages that can be searched in two ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from secondpass.retrieve.settings import IndexSettings
from secondpass.types import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Passage:
    """A document, or one chunk of it, as a first stage stores it.

    - `id`: the document's id where the document is one passage, else `doc_id#chunk`.
    - `chunk`: 0 where the document is one passage, else numbered from 1.
    - `start`, `end`: where `text` stands in the document's text, in characters.
    - `source`: the file it was read from, as the ingest recorded it.
    - `hash`: of the whole document and of how it was cut and embedded.
    - `embedding`: `[dimension]` float32 of unit length, or None in a store without vectors,
      or where the store's vectors are the caller's own and this passage has none.
    - `columns`: what filters see of the passage, instead of `metadata`.
    """

    id: str
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


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found: `score` is a BM25 sum or a cosine, higher is better.

    `document` has the passage's id, title, text and the user's metadata; where the
    document was cut into several passages, the metadata also says `document_id`, `chunk`,
    `start` and `end`. `embedding` is set where it was asked for.
    """

    id: str
    score: float
    document: Document
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a store, as it was after one write."""

    number: int
    created: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """How a document was stored: the hash and the file that its passages carry."""

    hash: str
    source: str | None


class FirstStage(Protocol):
    """A store that finds passages by BM25 and by cosine.

    Reads may come from many threads, while one of them writes. Hits are ordered by
    falling score, then by id. A filter is an SQL condition over `fields`, and applies
    before the limit: `limit` hits pass it, where there are so many.
    """

    @property
    def folder(self) -> Path:
        """Where the store keeps its files, and the ingest its own."""

    @property
    def dimension(self) -> int:
        """How many numbers a vector has; 0 in a store without vectors."""

    @property
    def settings(self) -> IndexSettings:
        """How the store was made."""

    @property
    def version(self) -> int:
        """The number of the state that a search reads now."""

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each."""

    def upsert(self, passages: Sequence[Passage]) -> None:
        """Store documents in one atomic step, replacing all passages of the same ids."""

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; return how many there were."""

    def count(self) -> int:
        """Return the number of passages."""

    def documents(self) -> int:
        """Return the number of documents."""

    def stored(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Return what is known of each of these documents that is stored."""

    def ids_from(self, source: str) -> set[str]:
        """Return the ids of the documents that were read from this file."""

    def move(self, ids: Sequence[str], source: str) -> None:
        """Record that these documents now stand in another file."""

    def optimize(self) -> None:
        """Bring the indexes up to date and merge small files."""

    def bm25(
        self,
        query: str,
        limit: int,
        filter: str | None = None,  # noqa: A002 - the field's own word
        *,
        ids: Sequence[str] | None = None,
        embeddings: bool = False,
        every: bool = False,
    ) -> list[Hit]:
        """Find passages by words; with `ids`, score only those passages.

        With `every`, only passages that have each word of the query, stop words aside.
        """

    def vector(
        self,
        embedding: Embedding,
        limit: int,
        filter: str | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Find passages by cosine, -1 to 1."""

    def versions(self) -> list[Version]:
        """Return the states that can still be read, oldest first."""

    def checkout(self, version: int) -> FirstStage:
        """Return a reader of one older state."""

    def close(self) -> None:
        """Let go of the store; it can be opened again."""


class TextEncoder(Protocol):
    """Turns texts into vectors of unit length.

    `digest` tells this model from any other, byte for byte.
    """

    name: str
    digest: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> Embedding:
        """Return `[len(texts), dimension]` float32."""


@runtime_checkable
class CountsTokens(Protocol):
    """An encoder that can say how many tokens a text has."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens, without the special ones."""


@runtime_checkable
class Remembers(Protocol):
    """An encoder that keeps what a second pass will want to know of passages."""

    def remember(self, passages: Sequence[Passage]) -> None:
        """Take note of passages that are about to be stored."""


def searchable(title: str | None, text: str) -> str:
    """Return what is indexed and embedded: the title, a line break, the text."""
    return text if title is None else f"{title}\n{text}"
