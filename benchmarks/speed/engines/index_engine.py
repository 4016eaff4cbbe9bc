"""The bundled precomputed reranker, as a search over an index uses it.

It is another model than the other engines run, with other scores: only its time and memory
compare. A document is cut at `max_length` tokens without the query.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from secondpass import Candidate, Document, PassageAggregation, Reranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.scoring_options import ScoringOptions
from speed.engines import EngineSettings

MODEL = "bundled"


class PrecomputedEngine:
    """Reranks texts; with `cache_bytes` 0 no states are cached in memory."""

    def __init__(self, settings: EngineSettings, cache_bytes: int | None = None) -> None:
        self._length = settings.max_length
        backend = Reranker(MODEL, threads=settings.threads).base
        assert isinstance(backend, PrecomputedReranker)
        self.reranker = backend
        if cache_bytes is not None:
            backend.cache.limit = cache_bytes

    def prepare(self, texts: Sequence[str]) -> None:
        """Do the work that does not depend on the query."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit for each text."""
        response = self.reranker.rerank(
            query, texts, max_length=self._length, passages="first", return_documents=False
        )
        logits = [0.0] * len(texts)
        for result in response.results:
            logits[result.index] = result.score
        return logits


class StoredStatesEngine(PrecomputedEngine):
    """Every document was encoded when it was indexed; its states come from the index's file."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings, cache_bytes=0)
        self._folder = tempfile.TemporaryDirectory()
        self._store = StateStore(
            Path(self._folder.name) / "states.sqlite",
            digest=self.reranker.states_digest,
            codes=self.reranker.codes,
            dimension=self.reranker.encoder.dimension,
        )
        self.reranker = self.reranker.with_store(self._store)

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode texts that are new to the index, and store their states."""
        options = ScoringOptions(max_length=self._length, passages=PassageAggregation("first"))
        distinct = [Candidate(Document(text)) for text in dict.fromkeys(texts)]
        sequences = self.reranker.sequences(options.texts(distinct), options)
        new = self._store.missing(sequences)
        for batch in self.reranker.encode_records([sequences[key] for key in new]):
            self._store.put((new[position], record) for position, record in batch)


class CachedTextsEngine(PrecomputedEngine):
    """The same texts were reranked before in this process, for another query."""

    def prepare(self, texts: Sequence[str]) -> None:
        """Rerank the texts for another query."""
        self.score("a question that was asked before", texts)


def kept(settings: EngineSettings) -> StoredStatesEngine:
    return StoredStatesEngine(settings)


def seen(settings: EngineSettings) -> CachedTextsEngine:
    return CachedTextsEngine(settings, cache_bytes=1 << 30)


def new(settings: EngineSettings) -> PrecomputedEngine:
    return PrecomputedEngine(settings, cache_bytes=0)
