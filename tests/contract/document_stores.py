"""The document stores that must keep the contract, each with a function that opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.store_protocol import DocumentStore
from tests.retrieve.hashed_embedder import HashedEmbedder

Open = Callable[[Path], DocumentStore]


def open_lance(folder: Path) -> DocumentStore:
    return open_index(folder, HashedEmbedder())


DOCUMENT_STORES: dict[str, Open] = {"lance": open_lance}
