"""The first stages of mining: BM25 and vectors over all passages, or a search of others."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.unicode import clean
from secondpass.retrieve.store_protocol import Passage, TextEncoder, searchable

if TYPE_CHECKING:
    from secondpass.index.search import Search
    from secondpass.retrieve.backends.lance.store import LanceStore

Progress = Callable[[str, int, int], None]

_ROWS_AT_ONCE = 10_000
_TEXTS_AT_ONCE = 1024


class BM25Search:
    """BM25 over passages, in a temporary index that is deleted by `close`.

    Raises MissingExtraError if the package lancedb is not installed, InputError for a
    language without a stemmer.
    """

    def __init__(self, passages: Sequence[str], language: str, progress: Progress) -> None:
        from secondpass.retrieve.backends.lance.open import open_index

        self._folder = tempfile.TemporaryDirectory(prefix="secondpass-")
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="secondpass-mine")
        try:
            self._store: LanceStore = open_index(
                Path(self._folder.name, "index"), language=language, chunk_tokens=None
            )
            for start in range(0, len(passages), _ROWS_AT_ONCE):
                progress("index", start, len(passages))
                batch = passages[start : start + _ROWS_AT_ONCE]
                self._store.upsert(
                    [Passage(str(i), text) for i, text in enumerate(batch, start)]
                )
            # Rows outside the text index would be scored without its statistics.
            self._store.optimize()
        except BaseException:
            self.close()
            raise
        progress("index", len(passages), len(passages))

    def rank(self, queries: Sequence[str], depth: int) -> list[list[int]]:
        """Return the indices of the retrieved passages for each query, best first."""

        def search(query: str) -> list[int]:
            return [int(hit.id) for hit in self._store.bm25(query, depth)]

        return list(self._threads.map(search, queries))

    def close(self) -> None:
        """Delete the index."""
        self._threads.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def __enter__(self) -> BM25Search:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SearchResults:
    """What the first stage of a search, such as a database's, retrieves for each query.

    - `texts`: the passages, title and text, each once; those without text are left out.
    - `notes`: what the search left out, with the number of queries that it said so for.
    """

    def __init__(
        self, source: Search, queries: Sequence[str], depth: int, progress: Progress
    ) -> None:
        self._found: dict[str, list[str]] = {}
        self._numbers: dict[str, int] = {}
        self.notes: Counter[str] = Counter()
        for done, query in enumerate(queries):
            progress("retrieve", done, len(queries))
            if query in self._found:
                continue
            retrieved = source.run_first_stage(query, depth)
            documents = [candidate.document for candidate in retrieved.candidates]
            texts = [clean(searchable(d.title, d.text)) for d in documents]
            self._found[query] = [text for text in texts if text.strip()]
            if retrieved.note is not None:
                self.notes[retrieved.note] += 1
            if empty := len(texts) - len(self._found[query]):
                self.notes[f"{empty} of its candidates have no text, and are left out"] += 1
        progress("retrieve", len(queries), len(queries))

    @property
    def texts(self) -> list[str]:
        """The passages of all queries, in the order they were found."""
        return list(dict.fromkeys(text for found in self._found.values() for text in found))

    def number(self, passages: Sequence[str]) -> None:
        """Name the passages that `rank` returns indices of; all of `texts` are among them."""
        for index, text in enumerate(passages):
            self._numbers.setdefault(text, index)

    def rank(self, queries: Sequence[str], depth: int) -> list[list[int]]:
        """Return the indices of the retrieved passages for each query, best first."""
        return [
            [self._numbers[text] for text in dict.fromkeys(self._found[query][:depth])]
            for query in queries
        ]


def embed_texts(
    embedder: TextEncoder, texts: Sequence[str], stage: str, progress: Progress
) -> NDArray[np.float32]:
    """Return unit vectors, shape [texts, dimension]."""
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        progress(stage, start, len(texts))
        vectors[start : start + _TEXTS_AT_ONCE] = embedder.encode(
            texts[start : start + _TEXTS_AT_ONCE]
        )
    progress(stage, len(texts), len(texts))
    return vectors
