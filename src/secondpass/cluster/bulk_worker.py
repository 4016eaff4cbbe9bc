"""What an actor of bulk work does: it reads files, makes passages, scores, or encodes."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondpass.errors import MissingExtraError, ReadError
from secondpass.index.precompute import PrecomputedStates, RecordingEmbedder, is_precomputed
from secondpass.index.rerankers import DEFAULT
from secondpass.inference.types import Float32
from secondpass.registry import load_reranker
from secondpass.rerank.precomputed.store import MemoryStates
from secondpass.rerank.precomputed.types import Record, Segments
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.chunking import split_document
from secondpass.retrieve.embedder import Embedder
from secondpass.retrieve.loaders import SourceFile, read_file
from secondpass.retrieve.loaders.base import Batch
from secondpass.retrieve.loaders.sandbox import ReadLimits
from secondpass.retrieve.passage_maker import embed_passages
from secondpass.retrieve.store_protocol import Passage, TextEncoder
from secondpass.types import Candidate, Document

# The share of an actor is at most one CPU.
_THREADS = 1


@dataclass(frozen=True, slots=True)
class WorkerAbout:
    """Where an actor runs, and which models it has: digests, "" for none."""

    machine: str
    process: int
    embedder: str = ""
    states: str = ""


@dataclass(frozen=True, slots=True)
class PassageWork:
    """How passages are made: as `IndexSettings` says, with vectors or without."""

    chunk_tokens: int | None
    overlap: int
    vectors: bool
    keep_states: bool


@dataclass(frozen=True, slots=True)
class FileContent:
    """What was read of one file; `absent`: it is not on the actor's machine."""

    batches: Sequence[Batch] = ()
    error: ReadError | None = None
    machine: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class MadePassages:
    """The passages of documents by their id, and what a reranker needs of them by key."""

    passages: Mapping[str, Sequence[Passage]]
    records: Mapping[bytes, Record] = field(default_factory=dict)
    segments: Mapping[bytes, Segments] = field(default_factory=dict)


class PassageWorker:
    """Reads files and makes passages, with embeddings and states."""

    def __init__(self, work: PassageWork) -> None:
        self._work = work
        embedder = Embedder(threads=_THREADS)
        self._count = embedder.count_tokens
        self._digest = embedder.digest
        self._encoder: TextEncoder | None = embedder if work.vectors else None
        self._states: MemoryStates | None = None
        states = PrecomputedStates(
            Path(), embedder, states="full" if work.keep_states else "none"
        )
        if work.vectors and states.available and is_precomputed(DEFAULT):
            precomputed = states.find_precomputed(load_reranker(DEFAULT, threads=_THREADS))
            if precomputed is not None:
                self._states = MemoryStates(
                    digest=precomputed.states_digest,
                    codes=precomputed.codes,
                    dimension=precomputed.encoder.dimension,
                )
                self._encoder = RecordingEmbedder(embedder, precomputed, self._states)

    def describe(self) -> WorkerAbout:
        """Return where this runs, and the digests of its models."""
        states = "" if self._states is None else self._states.digest
        return WorkerAbout(socket.gethostname(), os.getpid(), self._digest, states)

    def read(
        self, files: Sequence[SourceFile], fields: Sequence[str] | None, limits: ReadLimits
    ) -> list[FileContent]:
        """Read files that are one document each; what is wrong with one is in its content."""
        return [self._read(file, fields, limits) for file in files]

    def _read(
        self, file: SourceFile, fields: Sequence[str] | None, limits: ReadLimits
    ) -> FileContent:
        machine = socket.gethostname()
        if not file.path.exists():
            return FileContent(machine=machine, absent=True)
        documents: list[Document] = []
        reading = read_file(file, fields, limits=limits)
        error = None
        try:
            documents += reading
        except ReadError as problem:
            error = problem
        except MissingExtraError as problem:
            error = ReadError(problem.what, where=str(file.path), fix=problem.fix)
        batch = Batch(documents, reading.left_out, reading.cut, tuple(reading.skipped))
        return FileContent([batch], error, machine)

    def make(self, documents: Sequence[tuple[str, Document]]) -> MadePassages:
        """Return the passages of documents, given by id, all embedded in one batch."""
        split = {
            name: list(
                split_document(
                    document,
                    name,
                    self._count,
                    chunk_tokens=self._work.chunk_tokens,
                    overlap=self._work.overlap,
                )
            )
            for name, document in documents
        }
        embedded = iter(embed_passages([p for ps in split.values() for p in ps], self._encoder))
        passages = {name: [next(embedded) for _ in parts] for name, parts in split.items()}
        if self._states is None:
            return MadePassages(passages)
        return MadePassages(passages, *self._states.take())


class ScoreWorker:
    """Scores candidates for a query, with a model that is loaded as `load_reranker` does."""

    def __init__(self, model: str, loading: Mapping[str, Any]) -> None:
        self._reranker = load_reranker(model, threads=_THREADS, **loading)

    def describe(self) -> WorkerAbout:
        """Return where this runs, and the fingerprint of its model."""
        identity = self._reranker.identity
        return WorkerAbout(socket.gethostname(), os.getpid(), identity or "")

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return the scores of candidates."""
        return self._reranker.score(query, candidates, options)


class EncodeWorker:
    """Encodes texts with the bundled embedder."""

    def __init__(self) -> None:
        self._embedder = Embedder(threads=_THREADS)

    def describe(self) -> WorkerAbout:
        """Return where this runs, and the digest of its model."""
        return WorkerAbout(socket.gethostname(), os.getpid(), self._embedder.digest)

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return unit vectors, float32 [texts, dimension]."""
        return self._embedder.encode(texts)
