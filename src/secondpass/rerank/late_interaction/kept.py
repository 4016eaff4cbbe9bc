"""Late interaction over what a reader keeps of documents: nothing but the query is encoded."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from secondpass.engine.runtimes import Float32
from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.late_interaction.maxsim import maxsim, unit
from secondpass.rerank.reader import Reader
from secondpass.rerank.reader.record import Record, record_key
from secondpass.rerank.reader.store import StateStore
from secondpass.rerank.reading import Reading
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
        met, tokens = self._query(query)
        texts = reading.texts(candidates)
        distinct = list(dict.fromkeys(texts))
        cut = self.reader.windows(distinct, reading)
        windows = {record_key(s): s for document in cut for s in document.sequences}
        keys, found, problems = list(windows), dict[bytes, float](), dict[str, None]()
        for start in range(0, len(keys), _GROUP):
            some = {key: windows[key] for key in keys[start : start + _GROUP]}
            records, encoded = self.reader.records(some, problems)
            tokens += encoded
            found |= {key: maxsim(met, _vectors(records[key])) for key in some}
        scores = {}
        for text, document in zip(distinct, cut, strict=True):
            values = [found[record_key(s)] for s in document.sequences]
            value = reading.passages.combine(values)
            scores[text] = Score(value, None, len(values), document.unread)
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.SIMILARITY,
            pairs=sum(len(document.sequences) for document in cut),
            tokens=tokens,
            reason="; ".join(problems) or None,
        )

    def _query(self, query: str) -> tuple[Float32, int]:
        question = self.reader.question(query)
        return _vectors(self.reader.compressed(question)), question.tokens


def _vectors(record: Record) -> Float32:
    """Return the unit vectors of a record's tokens, without the special ones at its ends."""
    codes = record.codes[1:-1].astype(np.float32)
    return unit(codes * record.scales[1:-1, None].astype(np.float32))
