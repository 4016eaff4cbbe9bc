"""Text embedder: the bundled model or an exported one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secondpass.errors import ModelError
from secondpass.inference.batches import Progress
from secondpass.inference.model_folder import open_folder
from secondpass.inference.query_cut import QueryCut, cut_query
from secondpass.inference.token_encoder import open_encoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.inference.types import Float32
from secondpass.models import bundled_path


class Embedder:
    """Encodes texts as unit vectors; safe to use from several threads at once.

    `path` is a folder that `secondpass export --kind embedder` wrote; None is the bundled
    all-MiniLM-L6-v2. Only the first `max_length` tokens of a text are read. Embedders of
    one folder share one session, and so does a `PrecomputedReranker` over it (`encoder`).
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
        self.encoder = open_encoder(folder, threads=threads)
        self.name = self.encoder.name
        self.digest = self.encoder.digest
        self.dimension = self.encoder.dimension
        self.max_length = self.encoder.max_length

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Float32:
        """Return unit vectors, float32, shape [texts, dimension].

        `progress` is called with the number of texts done since its last call.
        """
        sequences = self.sequences(texts)
        if len(sequences) == 1:
            vector = self.encoder.encode_one(sequences[0]).embedding
            if progress is not None:
                progress(1)
            return vector[None].copy()
        return self.encoder.embed(sequences, progress=progress)

    def sequences(self, texts: Sequence[str]) -> list[TokenSequence]:
        """Return the tokens that `encode` reads of each text, special tokens included."""
        if not texts:
            return []
        tokenizer = self.encoder.tokenizer
        limit = self.max_length - tokenizer.special
        return [
            tokenizer.single(tokens.ids[:limit])
            for tokens in tokenizer.encode(texts, limit=limit)
        ]

    def cut_query(self, query: str) -> QueryCut:
        """Return what is read of a query: its two ends, where it is longer than the window."""
        tokenizer = self.encoder.tokenizer
        return cut_query(tokenizer, query, self.max_length - tokenizer.special)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, special tokens not counted."""
        return self.encoder.tokenizer.count(text)
