"""The document stores that must keep the contract, and what their tests store and ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.store_protocol import DocumentStore, Passage, searchable
from secondpass.types import Document
from tests.retrieve.hashed_embedder import HashedEmbedder

Open = Callable[[Path], DocumentStore]


def open_lance(folder: Path) -> DocumentStore:
    return open_index(folder, HashedEmbedder())


DOCUMENT_STORES: dict[str, Open] = {"lance": open_lance}
"""By name, a function that opens each."""
EMBEDDER = HashedEmbedder()


def passage(doc_id: str, text: str, title: str | None = None, **metadata: Any) -> Passage:
    vector = EMBEDDER.encode([searchable(title, text)])[0]
    return Passage(doc_id, text, title, metadata, end=len(text), hash=text, embedding=vector)


def chunks(doc_id: str, *texts: str) -> list[Passage]:
    return [replace(passage(doc_id, text), chunk=n) for n, text in enumerate(texts, 1)]


def whole(ids: Sequence[str]) -> list[Document]:
    return [Document("", id=name) for name in ids]


def near(
    store: DocumentStore, text: str, limit: int = 10, where: str | None = None
) -> list[str]:
    return [h.id for h in store.vector(EMBEDDER.encode([text])[0], limit, where)]


def words(
    store: DocumentStore, text: str, limit: int = 10, where: str | None = None
) -> list[str]:
    return [h.id for h in store.bm25(text, limit, where)]


CATS = [
    passage("a", "the cat sat on the mat", "Cats", year=2015, source="docs"),
    passage("b", "a dog ran in the park", "Dogs", year=2016, source="web"),
    passage("c", "cats and dogs living together", year=2014, source="docs"),
]
