"""The bundled reader as a search over an index uses it.

Another model than the other engines run, with other scores: only its time and memory
compare. A document is cut at `max_length` tokens without the query.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from secondpass import Candidate, Document, Reranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import record_key
from secondpass.rerank.scoring_options import ScoringOptions
from speed.engines import Setting

MODEL = "bundled"


class IndexReader:
    """Ranks texts; `cache_bytes` of 0 keeps nothing in memory."""

    def __init__(self, setting: Setting, cache_bytes: int | None = None) -> None:
        self._length = setting.max_length
        backend = Reranker(MODEL, threads=setting.threads).base
        assert isinstance(backend, PrecomputedReranker)
        self.reader = backend
        if cache_bytes is not None:
            backend.cache.limit = cache_bytes

    def prepare(self, texts: Sequence[str]) -> None:
        """Do what is done before the query comes."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        response = self.reader.rerank(
            query, texts, max_length=self._length, passages="first", return_documents=False
        )
        logits = [0.0] * len(texts)
        for result in response.results:
            logits[result.index] = result.score
        return logits


class KeptReader(IndexReader):
    """Every document was read when it was put into the index; records come from its file."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, cache_bytes=0)
        self._folder = tempfile.TemporaryDirectory()
        self._store = StateStore(
            Path(self._folder.name) / "states.sqlite",
            digest=self.reader.states_digest,
            codes=self.reader.codes,
            dimension=self.reader.encoder.dimension,
        )
        self.reader = self.reader.with_store(self._store)

    def prepare(self, texts: Sequence[str]) -> None:
        """Read what is new to the index, and keep it there."""
        reading = ScoringOptions(max_length=self._length)
        distinct = [Candidate(Document(text)) for text in dict.fromkeys(texts)]
        windows = self.reader.windows(reading.texts(distinct), reading)
        sequences = [w.sequences[0] for w in windows]
        known = self._store.get([record_key(s) for s in sequences]).records
        new = [s for s in sequences if record_key(s) not in known]
        for batch in self.reader.encode_records(new):
            self._store.put((record_key(new[position]), record) for position, record in batch)


class SeenReader(IndexReader):
    """The same texts were ranked before in this process, for another query."""

    def prepare(self, texts: Sequence[str]) -> None:
        """Rank the texts for another query."""
        self.score("a question that was asked before", texts)


def kept(setting: Setting) -> KeptReader:
    return KeptReader(setting)


def seen(setting: Setting) -> SeenReader:
    return SeenReader(setting, cache_bytes=1 << 30)


def new(setting: Setting) -> IndexReader:
    return IndexReader(setting, cache_bytes=0)
