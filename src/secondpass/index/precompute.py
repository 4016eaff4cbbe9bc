"""Precomputed token states of passages: written while indexing, used by searches."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from secondpass.inference.tokenizer import TokenSequence
from secondpass.inference.types import Float32
from secondpass.registry import resolve
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.record_formats import (
    COMPACT,
    FORMATS,
    FULL,
    RecordFormat,
)
from secondpass.rerank.precomputed.removal import KeySet, Removed
from secondpass.rerank.precomputed.segments import Text
from secondpass.rerank.precomputed.state_files import count_states, last_rows
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record, Segments, record_key
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.embedder import Embedder
from secondpass.retrieve.settings import States
from secondpass.retrieve.store_protocol import Passage, TextEncoder
from secondpass.types import Candidate, Document

_PREFIX, _SUFFIX = "states-", ".sqlite"


@dataclass(frozen=True, slots=True)
class StatesCheck:
    """How much of an index has stored states.

    - `states`: records in the file of the reranker's model, with `bytes` of the file.
    - `passages`: how many were looked at; `unread_passages`: those of them with windows that a
      search would encode, which are `unread_windows` in all.
    """

    states: int = 0
    bytes: int = 0
    passages: int = 0
    unread_passages: int = 0
    unread_windows: int = 0


class PrecomputedStates:
    """The stored passage states of an index, in one SQLite file for each model.

    Does nothing where `states` are "none", or for rerankers other than a
    `PrecomputedReranker` over the index's own embedder. Thread-safe.
    """

    def __init__(self, folder: Path, embedder: TextEncoder, *, states: States = "full") -> None:
        self.folder = folder
        self._format = FORMATS.get(states)
        self._embedder = embedder
        self._stores: dict[str, StateStore] = {}
        self._with_states = WeakKeyDictionary[BaseReranker, BaseReranker]()
        self._lock = threading.Lock()

    @property
    def available(self) -> bool:
        """Whether the index can store states for any precomputed reranker."""
        return (
            self._format is not None
            and isinstance(self._embedder, Embedder)
            and self._embedder.encoder.states_width is not None
        )

    def find_precomputed(self, reranker: BaseReranker | None) -> PrecomputedReranker | None:
        """Return a reranker's `PrecomputedReranker`, or None if it cannot store states here."""
        base = None if reranker is None or not self.available else reranker.base
        if (
            isinstance(base, PrecomputedReranker)
            and base.encoder.digest == self._embedder.digest
        ):
            return base
        return None

    def open_store(self, precomputed: PrecomputedReranker) -> StateStore:
        """Return the store of a model's states; its file is created at the first write."""
        digest = precomputed.states_digest
        with self._lock:
            if digest not in self._stores:
                self._stores[digest] = self._store_in(precomputed, self._format or FULL)
            return self._stores[digest]

    def _store_in(self, precomputed: PrecomputedReranker, format: RecordFormat) -> StateStore:  # noqa: A002
        digest = precomputed.states_digest
        mark = f"-{format.mark}" if format.mark else ""
        return StateStore(
            self.folder / f"{_PREFIX}{digest[:16]}{mark}{_SUFFIX}",
            digest=digest,
            codes=precomputed.codes,
            dimension=precomputed.encoder.dimension,
            format=format,
        )

    def use_states(self, reranker: BaseReranker) -> BaseReranker:
        """Return the reranker, made to read and write states in this index if it can.

        The same one each time, so that concurrent searches can share its batches.
        """
        precomputed = self.find_precomputed(reranker)
        if precomputed is None:
            return reranker
        store = self.open_store(precomputed)
        if not isinstance(reranker, Hashable):
            return use_store(reranker, store)
        with self._lock:
            known = self._with_states.get(reranker)
            if known is None:
                known = use_store(reranker, store)
                if known is not reranker:
                    self._with_states[reranker] = known
            return known

    def recording_embedder(self, reranker: BaseReranker | None) -> TextEncoder:
        """Return the embedder, made to store states too if the reranker uses them."""
        precomputed = self.find_precomputed(reranker)
        if precomputed is None or not isinstance(self._embedder, Embedder):
            return self._embedder
        return RecordingEmbedder(self._embedder, precomputed, self.open_store(precomputed))

    def check(
        self, reranker: BaseReranker | None, documents: Iterable[list[Document]]
    ) -> StatesCheck:
        """Count what is stored, and what these passages lack of it; writes nothing.

        All is 0 where the reranker uses no states.
        """
        precomputed = self.find_precomputed(reranker)
        if precomputed is None:
            return StatesCheck()
        store = self.open_store(precomputed)
        storing, looked_at, counts = precomputed.with_store(store), 0, []
        for texts in _document_texts(documents):
            looked_at += len(texts)
            counts += [count for count in storing.count_unread(texts) if count]
        return StatesCheck(store.count(), store.nbytes, looked_at, len(counts), sum(counts))

    def read_unread(
        self, reranker: BaseReranker | None, documents: Iterable[list[Document]]
    ) -> int:
        """Encode and store the windows of these passages that have no stored states.

        Return how many.
        """
        recording, count = self.recording_embedder(reranker), 0
        if isinstance(recording, RecordingEmbedder):
            for batch in documents:
                windows = recording.unread_windows(batch)
                recording.read_windows(windows)
                count += len(windows)
        return count

    def remove_unused(
        self,
        reranker: BaseReranker | None,
        documents: Iterable[list[Document]],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Removed:
        """Remove states that no search with this reranker and default options will use.

        `documents` are all passages of the index. Files of other models and formats are
        deleted, and all files where nothing is stored. Where the reranker uses no states,
        nothing is removed: another reranker may use them. `progress` is called with how many
        stored states were looked at.
        """
        precomputed = self.find_precomputed(reranker)
        if precomputed is None:
            return Removed() if self._format is not None else self._delete_files(None)
        own = self.open_store(precomputed)
        if own.format is COMPACT:
            self._take_full(precomputed, own)
        removed = self._delete_files(own.file.name)
        return removed + self.remove_unneeded(precomputed, documents, progress=progress)

    def remove_unneeded(
        self,
        precomputed: PrecomputedReranker,
        documents: Iterable[list[Document]],
        *,
        owns: Callable[[Text], bool] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Removed:
        """Remove states of a model that none of these passages has.

        What is stored while they are looked through stays. `owns`: whether the states of a
        text are kept here, None for all.
        """
        own = self.open_store(precomputed)
        until = last_rows(own.file)
        if not any(until.values()):
            return Removed()
        precomputed = precomputed.with_store(own)
        keys, segment_keys = KeySet(), KeySet()
        for texts in _document_texts(documents):
            owned = texts if owns is None else [text for text in texts if owns(text)]
            for text, segments in zip(owned, precomputed.segment(owned), strict=True):
                keys.add(segments.keys)
                segments_key = precomputed.segments_key(text)
                if segments_key is not None:
                    segment_keys.add([segments_key])
        return own.keep_only(keys, segment_keys, until=until, progress=progress)

    def _delete_files(self, own: str | None) -> Removed:
        """Delete the files of all models but the own one, with what belongs to them."""
        removed = Removed()
        for file in self.folder.glob(f"{_PREFIX}*{_SUFFIX}*"):
            if own is not None and file.name.startswith(own):
                continue
            states = count_states(file)
            with contextlib.suppress(OSError):
                size = file.stat().st_size
                file.unlink()
                removed += Removed(states, size, int(file.suffix == _SUFFIX), size)
        return removed

    def _take_full(self, precomputed: PrecomputedReranker, own: StateStore) -> None:
        """Write full states, of before the option changed, in the format of now."""
        full = self._store_in(precomputed, FULL)
        if full.file.is_file():
            own.copy_from(full)
            full.close()

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        with self._lock:
            for store in self._stores.values():
                store.close()


class RecordingEmbedder:
    """An embedder that stores a precomputed reranker's states in the same forward pass.

    Warns with a `UserWarning` where states cannot be stored; searches then compute them.
    """

    def __init__(
        self, embedder: Embedder, precomputed: PrecomputedReranker, store: StateStore
    ) -> None:
        self.name = embedder.name
        self.digest = embedder.digest
        self.dimension = embedder.dimension
        self._embedder, self._precomputed, self._store = embedder, precomputed, store
        self.states_digest = precomputed.states_digest

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return unit vectors, float32 [texts, dimension], as the embedder does."""
        sequences = self._embedder.sequences(texts)
        vectors = np.empty((len(sequences), self.dimension), dtype=np.float32)
        for batch in self._encode(sequences):
            for position, record in batch:
                vectors[position] = record.embedding
        return vectors

    def remember(self, passages: Sequence[Passage]) -> None:
        """Store what a search reads of passages: it tokenizes and encodes none of them."""
        self.read_windows(self.unread_windows(passages))

    def unread_windows(self, passages: Sequence[Passage | Document]) -> list[TokenSequence]:
        """Store the token segments of passages; return the windows without stored states.

        These are all but the first window, which `encode` reads, of a long passage.
        """
        documents = [Document(passage.text, title=passage.title) for passage in passages]
        (texts,) = _document_texts([documents])
        return self._precomputed.with_store(self._store).unread_windows(texts)

    def read_windows(self, sequences: Sequence[TokenSequence]) -> None:
        """Encode windows and store their states."""
        for _ in self._encode(sequences):
            pass

    def _encode(self, sequences: Sequence[TokenSequence]) -> Iterator[list[tuple[int, Record]]]:
        """Yield the records of windows, batch by batch, after they were stored."""
        for batch in self._precomputed.encode_records(sequences):
            records = [(record_key(sequences[position]), record) for position, record in batch]
            problem = self._store.put(records)
            if problem is not None:
                warnings.warn(f"{problem}; passage states were not stored", stacklevel=4)
            yield batch

    def keep(
        self, records: Iterable[tuple[bytes, Record]], segments: Mapping[bytes, Segments]
    ) -> None:
        """Store records and segments that another process has made with the same model."""
        problem = self._store.put(records)
        if problem is not None:
            warnings.warn(f"{problem}; passage states were not stored", stacklevel=3)
        if segments:
            self._store.put_segments(segments)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, special tokens not counted."""
        return self._embedder.count_tokens(text)


def is_precomputed(name: str) -> bool:
    """Return whether a model is a precomputed reranker, without loading it."""
    return resolve(name).architecture == "reader"


def _document_texts(documents: Iterable[list[Document]]) -> Iterator[list[Text]]:
    for batch in documents:
        yield ScoringOptions().texts([Candidate(document) for document in batch])
