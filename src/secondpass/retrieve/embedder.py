"""Texts to vectors, with the bundled embedder or any exported one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secondpass.engine.encoder import Progress, run_batched
from secondpass.engine.folder import open_folder
from secondpass.engine.runtimes import Float32, load_runtime
from secondpass.engine.tokenise import Tokeniser
from secondpass.errors import ModelError
from secondpass.models import bundled_path


class Embedder:
    """Encodes texts as unit vectors; safe to use from several threads at once.

    `path` is a folder that `secondpass export --kind embedder` wrote; None is the bundled
    all-MiniLM-L6-v2. Only the first `max_length` tokens of a text are read.
    Raises `ModelError` if the folder does not hold an embedder.
    """

    def __init__(self, path: str | Path | None = None, *, threads: int | None = None) -> None:
        folder = open_folder(bundled_path("bundled-embedder") if path is None else path)
        if folder.architecture != "embedder":
            raise ModelError(
                "The model is not an embedder",
                where=str(folder.path),
                why=f"it is a {folder.architecture}",
                fix="Export one with: secondpass export SOURCE --kind embedder --out FOLDER",
            )
        self.name = str(folder.manifest["name"])
        self.digest = folder.digest
        self.dimension = int(folder.manifest["dimension"])
        self.max_length = int(folder.manifest["max_length"])
        self._tokeniser = Tokeniser(folder.path / "tokenizer.json")
        self._runtime = load_runtime(folder, threads=threads)

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Float32:
        """Return unit vectors, float32, shape [texts, dimension].

        `progress` is called with the number of texts done since its last call.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        room = self.max_length - self._tokeniser.special
        sequences = [
            self._tokeniser.single(tokens.ids[:room])
            for tokens in self._tokeniser.encode(texts, limit=room)
        ]
        return run_batched(
            self._runtime,
            sequences,
            pad_id=self._tokeniser.pad_id,
            longest=self.max_length,
            progress=progress,
        )

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, special tokens not counted."""
        return self._tokeniser.count(text)
