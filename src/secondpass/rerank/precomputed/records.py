"""The records of one search: from memory, from the store, or from the encoder.

The records used last, in memory.

Windows of documents to records: one forward pass of the encoder, then compression.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from secondpass.errors import ModelError
from secondpass.inference.token_encoder import Encoded, TokenEncoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.inference.types import Runtime
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record

DEFAULT_BYTES = 64 * 1024 * 1024


class RecordCache:
    """Keeps the records used last, up to so many bytes; safe to use from several threads.

    `limit` of 0 keeps nothing.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self._records: OrderedDict[bytes, Record] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """How many bytes of numbers are kept now."""
        return self._size

    def get(self, key: bytes) -> Record | None:
        """Return a record and count it as used, or None."""
        with self._lock:
            record = self._records.get(key)
            if record is not None:
                self._records.move_to_end(key)
            return record

    def put(self, key: bytes, record: Record) -> None:
        """Keep a record, in place of those not used for longest."""
        if record.nbytes > self.limit:
            return
        with self._lock:
            before = self._records.pop(key, None)
            self._size += record.nbytes - (0 if before is None else before.nbytes)
            self._records[key] = record
            while self._size > self.limit:
                _, oldest = self._records.popitem(last=False)
                self._size -= oldest.nbytes


class StateReader:
    """Reads windows with an encoder and compresses their states.

    `compress` is a graph from `states` float32 [batch, tokens, width] to `codes` int8
    [batch, tokens, codes] and `scales` float32 [batch, tokens].
    """

    def __init__(self, encoder: TokenEncoder, compress: Runtime, codes: int) -> None:
        self.encoder = encoder
        self.codes = codes
        self._compress = compress

    def read(self, sequences: Sequence[TokenSequence]) -> Iterator[list[tuple[int, Record]]]:
        """Yield the records of one batch after the other, each with its position.

        At no time are there states of more than one batch in full precision. Raises
        `ModelError` if the graph's output has another shape than it should.
        """
        for batch in self.encoder.encode(sequences):
            found = self._compress.run_named({"states": batch.states}, ["codes", "scales"])
            codes, scales = found["codes"], found["scales"]
            shape = batch.states.shape[:2]
            if codes.shape != (*shape, self.codes) or scales.shape != shape:
                raise ModelError(
                    "The reader's compress.onnx gives something else than it should",
                    why=f"codes {codes.shape} and scales {scales.shape} of {shape} tokens, "
                    f"{self.codes} codes each",
                )
            yield [
                (
                    position,
                    Record(
                        codes[row, :length].astype(np.int8),
                        scales[row, :length].astype(np.float16),
                        batch.embeddings[row].astype(np.float32),
                    ),
                )
                for row, (position, length) in enumerate(
                    zip(batch.rows, batch.lengths, strict=True)
                )
            ]

    def compress(self, encoded: Encoded) -> Record:
        """Return the record of one sequence that is encoded already."""
        assert encoded.states is not None
        found = self._compress.run_named({"states": encoded.states[None]}, ["codes", "scales"])
        return Record(
            found["codes"][0].astype(np.int8),
            found["scales"][0].astype(np.float16),
            encoded.embedding,
        )


GROUP = 256
"""So many windows are held at once, whatever the number of candidates."""
# What a search has encoded and may want a second time.
_HELD_BYTES = 16 * 1024 * 1024


class Records:
    """Finds the records of windows for one search.

    `lengths` is the tokens of each window by its key; `sequences` gives windows' tokens by
    key where they must be encoded. Afterwards `encoded` has the tokens of those that were,
    by key, `tokens` is their sum, and `reason` says what could not be read of what had been
    kept, or is None.
    """

    def __init__(
        self,
        states: StateReader,
        cache: RecordCache,
        store: StateStore | None,
        lengths: Mapping[bytes, int],
        sequences: Callable[[Collection[bytes]], Mapping[bytes, TokenSequence]],
    ) -> None:
        self.encoded: dict[bytes, int] = {}
        self._states, self._cache, self._store = states, cache, store
        self._lengths, self._sequences = lengths, sequences
        self._held = RecordCache(_HELD_BYTES)
        self._problems: dict[str, None] = {}

    @property
    def tokens(self) -> int:
        """How many tokens were encoded."""
        return sum(self.encoded.values())

    @property
    def reason(self) -> str | None:
        """What could not be read of what had been kept."""
        if not self._problems:
            return None
        return f"{'; '.join(self._problems)}; documents were read again"

    def read(self, keys: Sequence[bytes]) -> None:
        """See to it that the memory holds the records of these windows, if it has room."""
        for start in range(0, len(keys), GROUP):
            self.get(keys[start : start + GROUP])

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Record]:
        """Return the records of all these windows."""
        records: dict[bytes, Record] = {}
        for key in keys:
            record = self._cache.get(key)
            record = self._held.get(key) if record is None else record
            if record is not None:
                records[key] = record
        missing = [key for key in keys if key not in records]
        if self._store is not None and missing:
            kept = self._store.get(missing)
            # A record of another length would answer for another text.
            fitting = {k: r for k, r in kept.records.items() if r.tokens == self._lengths[k]}
            records |= fitting
            self._remember(fitting)
            if kept.problem is not None:
                self._problems[kept.problem] = None
            missing = [key for key in missing if key not in records]
        return records | self._encode(missing) if missing else records

    def _encode(self, keys: Sequence[bytes]) -> dict[bytes, Record]:
        sequences = self._sequences(keys)
        fresh: dict[bytes, Record] = {}
        for batch in self._states.read([sequences[key] for key in keys]):
            fresh |= {keys[position]: record for position, record in batch}
        for key, record in fresh.items():
            self.encoded[key] = self.encoded.get(key, 0) + record.tokens
        self._remember(fresh)
        for key, record in fresh.items():
            self._held.put(key, record)
        problem = None if self._store is None else self._store.put(fresh.items())
        if problem is not None:
            self._problems[problem] = None
        return fresh

    def _remember(self, records: Mapping[bytes, Record]) -> None:
        for key, record in records.items():
            self._cache.put(key, record)
