"""The first stages that must keep the contract, each with a function that opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.store_protocol import FirstStage
from tests.retrieve.hashed_embedder import HashedEmbedder

Open = Callable[[Path], FirstStage]


def open_lance(folder: Path) -> FirstStage:
    return open_index(folder, HashedEmbedder())


FIRST_STAGES: dict[str, Open] = {"lance": open_lance}
