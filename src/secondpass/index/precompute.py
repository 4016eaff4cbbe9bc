"""What a reader keeps of passages: made while they are embedded, read by searches."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from secondpass.inference.types import Float32
from secondpass.registry import resolve
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.segments import Text
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import record_key
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.embedder import Embedder
from secondpass.retrieve.store_protocol import Passage, TextEncoder
from secondpass.types import Candidate, Document

_PREFIX, _SUFFIX = "states-", ".sqlite"


class PrecomputedStates:
    """The records beside an index, in one file for each model that made some.

    Does nothing where `enabled` is False, or for rerankers that are no readers over the
    index's own embedder. Safe to use from several threads at once.
    """

    def __init__(self, folder: Path, embedder: TextEncoder, *, enabled: bool = True) -> None:
        self.folder = folder
        self.enabled = enabled
        self._embedder = embedder
        self._stores: dict[str, StateStore] = {}
        self._lock = threading.Lock()

    @property
    def possible(self) -> bool:
        """Whether any reader could keep records here."""
        return (
            self.enabled
            and isinstance(self._embedder, Embedder)
            and self._embedder.encoder.states_width is not None
        )

    def reader(self, reranker: BaseReranker | None) -> PrecomputedReranker | None:
        """Return the reader inside a reranker, if its records can be kept here."""
        base = None if reranker is None or not self.possible else reranker.base
        if (
            isinstance(base, PrecomputedReranker)
            and base.encoder.digest == self._embedder.digest
        ):
            return base
        return None

    def store(self, reader: PrecomputedReranker) -> StateStore:
        """Return where the records of a reader stand; the file need not be there yet."""
        digest = reader.states_digest
        with self._lock:
            if digest not in self._stores:
                self._stores[digest] = StateStore(
                    self.folder / f"{_PREFIX}{digest[:16]}{_SUFFIX}",
                    digest=digest,
                    codes=reader.codes,
                    dimension=reader.encoder.dimension,
                )
            return self._stores[digest]

    def reading(self, reranker: BaseReranker) -> BaseReranker:
        """Return the reranker, reading and keeping records here if it can."""
        reader = self.reader(reranker)
        return reranker if reader is None else use_store(reranker, self.store(reader))

    def embedding(self, reranker: BaseReranker | None) -> TextEncoder:
        """Return the embedder, keeping a record of each text if the reranker reads them."""
        reader = self.reader(reranker)
        if reader is None or not isinstance(self._embedder, Embedder):
            return self._embedder
        return RecordingEmbedder(self._embedder, reader, self.store(reader))

    def tidy(self, reranker: BaseReranker | None, documents: Iterable[list[Document]]) -> None:
        """Remove what no search with this reranker will read: `documents` are all there are.

        Files of other models go whole, and all files where nothing is to be kept. Nothing
        goes where the reranker is no reader: another one may be.
        """
        reader = self.reader(reranker)
        if reader is None and self.enabled:
            return
        own = None if reader is None else self.store(reader)
        for file in self.folder.glob(f"{_PREFIX}*{_SUFFIX}*"):
            if own is None or not file.name.startswith(own.file.name):
                with contextlib.suppress(OSError):
                    file.unlink()
        if reader is not None and own is not None and own.file.is_file():
            reader = reader.with_store(own)
            keys: dict[bytes, None] = {}
            names: dict[bytes, None] = {}
            for texts in _texts(documents):
                for text, cut in zip(texts, reader.segment(texts), strict=True):
                    keys |= dict.fromkeys(cut.keys)
                    name = reader.segments_key(text)
                    if name is not None:
                        names[name] = None
            own.keep_only(keys, names)

    def close(self) -> None:
        """Let go of all files; they are opened again when they are needed."""
        with self._lock:
            for store in self._stores.values():
                store.close()


class RecordingEmbedder:
    """An embedder that, in the same forward pass, makes and keeps a reader's records.

    A record that cannot be kept is made again by the search that needs it; a `UserWarning`
    says so.
    """

    def __init__(
        self, embedder: Embedder, reader: PrecomputedReranker, store: StateStore
    ) -> None:
        self.name = embedder.name
        self.digest = embedder.digest
        self.dimension = embedder.dimension
        self._embedder, self._reader, self._store = embedder, reader, store

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return unit vectors, float32 [texts, dimension], as the embedder does."""
        sequences = self._embedder.sequences(texts)
        vectors = np.empty((len(sequences), self.dimension), dtype=np.float32)
        for batch in self._reader.encode_records(sequences):
            for position, record in batch:
                vectors[position] = record.embedding
            kept = [(record_key(sequences[position]), record) for position, record in batch]
            problem = self._store.put(kept)
            if problem is not None:
                warnings.warn(f"{problem}; what was read was not kept", stacklevel=2)
        return vectors

    def remember(self, passages: Sequence[Passage]) -> None:
        """Keep where passages are cut, so that no search tokenises them."""
        documents = [Document(passage.text, title=passage.title) for passage in passages]
        for texts in _texts([documents]):
            self._reader.with_store(self._store).segment(texts)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, special tokens not counted."""
        return self._embedder.count_tokens(text)


def is_reader(name: str) -> bool:
    """Return whether a model is a reader, without loading it."""
    return resolve(name).architecture == "reader"


def _texts(documents: Iterable[list[Document]]) -> Iterator[list[Text]]:
    for some in documents:
        yield ScoringOptions().texts([Candidate(document) for document in some])
