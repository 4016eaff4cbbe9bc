"""Where files are read and passages are made: in this process, or elsewhere and ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders import FileRead, SourceFile, read_file
from secondpass.retrieve.store_protocol import Passage, Remembers, TextEncoder, searchable
from secondpass.types import Document


class PassageMaker(Protocol):
    """Reads files and makes passages for an ingest, which stores them in order.

    `ahead`: how many batches may be made before the one that is stored next; 0 where nothing
    is made elsewhere, and `start` is not called.
    """

    @property
    def ahead(self) -> int:
        """How many batches are made at once."""
        ...

    def expect(self, files: Sequence[SourceFile]) -> None:
        """Note the files, each one document, that `read` will be called for in this order."""
        ...

    def read(
        self,
        file: SourceFile,
        fields: Sequence[str] | None,
        *,
        kinds: Mapping[str, str] | None,
        strict: bool,
    ) -> FileRead:
        """Return the documents of a file, as `read_file` does."""
        ...

    def start(
        self, documents: Sequence[tuple[str, Document]]
    ) -> Callable[[], Mapping[str, Sequence[Passage]]]:
        """Begin to make the passages of documents, and return a function that waits for them.

        It returns those of each document by its id, with embeddings, and has kept what else a
        search needs of them. A document that it leaves out is done in this process.
        """
        ...


class LocalMaker:
    """Reads each file when it is its turn, and makes nothing ahead."""

    ahead = 0

    def expect(self, files: Sequence[SourceFile]) -> None:
        """Do nothing."""

    def read(
        self,
        file: SourceFile,
        fields: Sequence[str] | None,
        *,
        kinds: Mapping[str, str] | None,
        strict: bool,
    ) -> FileRead:
        """Return the documents of a file."""
        return read_file(file, fields, kinds=kinds, strict=strict)

    def start(
        self, documents: Sequence[tuple[str, Document]]
    ) -> Callable[[], Mapping[str, Sequence[Passage]]]:
        """Make nothing: all is done when the batch is stored."""
        return dict


LOCAL = LocalMaker()


def embed_passages(passages: Iterable[Passage], embedder: TextEncoder | None) -> list[Passage]:
    """Return the passages with embeddings; those that have one stay as they are.

    An encoder that remembers passages is told about those that it has encoded.
    """
    passages = list(passages)
    if embedder is None:
        return passages
    missing = [i for i, passage in enumerate(passages) if passage.embedding is None]
    if not missing:
        return passages
    encoded = [passages[i] for i in missing]
    texts = [searchable(None if p.title is None else clean(p.title), p.text) for p in encoded]
    vectors = embedder.encode(texts)
    if isinstance(embedder, Remembers):
        embedder.remember(encoded)
    for i, vector in zip(missing, vectors, strict=True):
        passages[i] = replace(passages[i], embedding=vector)
    return passages
