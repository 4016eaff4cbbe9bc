"""Late interaction over what a reader keeps of documents: nothing but the query is encoded."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from secondpass.errors import InputError
from secondpass.inference.runtimes import Float32
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.maxsim import maxsim, unit
from secondpass.rerank.precomputed import Reader
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate, ScoreKind

_GROUP = 256


class KeptMaxSim(BaseReranker):
    """Scores a document by `maxsim` over a reader's records; the reading layers do not run.

    `reader` is a `Reader` or what wraps one, such as `Reranker()`; an index gives it the
    records that it keeps. Scores are similarities from -1 to 1. What it is worth is in
    docs/explanation/late-interaction.md. Raises `InputError` for a reranker that keeps none.
    """

    def __init__(self, reader: BaseReranker) -> None:
        if not isinstance(reader.base, Reader):
            raise InputError(
                f"{reader.model!r} keeps no states of tokens",
                fix="Give a reader, such as Reranker('bundled').",
            )
        self.reader = reader.base

    @property
    def model(self) -> str:
        """The name of the reader, and that only its states are used."""
        return f"{self.reader.model} (MaxSim)"

    @property
    def base(self) -> BaseReranker:
        """The reader, whose records an index keeps."""
        return self.reader

    def with_states(self, store: StateStore) -> KeptMaxSim:
        """Return this with a reader that keeps records there."""
        twin = copy.copy(self)
        twin.reader = self.reader.with_states(store)
        return twin

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score each candidate by its best windows."""
        question = self.reader.question(query)
        met = _vectors(self.reader.compressed(question))
        texts = reading.texts(candidates)
        search = self.reader.search(question, list(dict.fromkeys(texts)), reading)
        keys = list(dict.fromkeys(key for cut in search.cuts.values() for key in cut.keys))
        found: dict[bytes, float] = {}
        for start in range(0, len(keys), _GROUP):
            records = search.records.get(keys[start : start + _GROUP])
            found |= {key: maxsim(met, _vectors(record)) for key, record in records.items()}
        scores = {}
        for text, cut in search.cuts.items():
            value = reading.passages.combine([found[key] for key in cut.keys])
            scores[text] = Score(value, None, len(cut.keys), cut.unread)
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.SIMILARITY,
            pairs=sum(len(cut.keys) for cut in search.cuts.values()),
            tokens=question.tokens + search.records.tokens,
            reason=search.records.reason,
        )


def _vectors(record: Record) -> Float32:
    """Return the unit vectors of a record's tokens, without the special ones at its ends."""
    codes = record.codes[1:-1].astype(np.float32)
    return unit(codes * record.scales[1:-1, None].astype(np.float32))
