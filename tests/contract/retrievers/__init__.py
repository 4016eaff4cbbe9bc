"""The retrievers that must keep the contract, each with a function that makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.ingest import add_documents
from secondpass.retrieve.protocol import Retriever
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.types import Document
from tests.retrieve.hashed_embedder import HashedEmbedder

Make = Callable[[Path, Sequence[Document]], AbstractContextManager[Retriever]]


@contextmanager
def hybrid(folder: Path, documents: Sequence[Document]) -> Iterator[Retriever]:
    embedder = HashedEmbedder()
    store = open_index(folder / "hybrid", embedder)
    add_documents(documents, store, embedder)
    retriever = HybridRetriever(store, embedder)
    yield retriever
    retriever.close()
    store.close()


@contextmanager
def bm25(folder: Path, documents: Sequence[Document]) -> Iterator[Retriever]:
    store = open_index(folder / "bm25")
    add_documents(documents, store, None)
    retriever = HybridRetriever(store)
    yield retriever
    retriever.close()
    store.close()


RETRIEVERS: dict[str, Make] = {"hybrid": hybrid, "bm25": bm25}
