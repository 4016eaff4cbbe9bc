"""Records of windows: computed by the encoder, cached in memory, looked up for one query."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from secondpass.errors import ModelError
from secondpass.inference.token_encoder import Encoded, TokenEncoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.inference.types import Runtime
from secondpass.rerank.precomputed.record_formats import FULL
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record

DEFAULT_CACHE_BYTES = 64 * 1024 * 1024

WINDOWS_AT_ONCE = 256
"""How many windows' records are in memory at once, whatever the number of candidates."""

# Computed records of one query, which may be needed a second time.
_QUERY_CACHE_BYTES = 16 * 1024 * 1024


class RecordCache:
    """The records used last, up to `limit` bytes, 0 for none; thread-safe."""

    def __init__(self, limit: int = DEFAULT_CACHE_BYTES) -> None:
        self.limit = limit
        self._records: OrderedDict[bytes, Record] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """How many bytes the records have now."""
        return self._nbytes

    def get(self, key: bytes) -> Record | None:
        """Return a record and mark it as used, or None."""
        with self._lock:
            record = self._records.get(key)
            if record is not None:
                self._records.move_to_end(key)
            return record

    def put(self, key: bytes, record: Record) -> None:
        """Store a record, in place of those least recently used."""
        if record.nbytes > self.limit:
            return
        with self._lock:
            replaced = self._records.pop(key, None)
            self._nbytes += record.nbytes - (0 if replaced is None else replaced.nbytes)
            self._records[key] = record
            while self._nbytes > self.limit:
                _, oldest = self._records.popitem(last=False)
                self._nbytes -= oldest.nbytes


class RecordEncoder:
    """Computes the records of windows: one forward pass of the encoder, then compression.

    `open_compress` returns a graph from `states` float32 [batch, tokens, width] to `codes` int8
    [batch, tokens, codes] and `scales` float32 [batch, tokens]. It is called when the first
    record is computed: where all are stored, none is.
    """

    def __init__(
        self, encoder: TokenEncoder, open_compress: Callable[[], Runtime], codes: int
    ) -> None:
        self.encoder = encoder
        self.codes = codes
        self._compress = cache(open_compress)

    def encode(self, sequences: Sequence[TokenSequence]) -> Iterator[list[tuple[int, Record]]]:
        """Yield the records of one batch after the other, each with its position.

        Full-precision states of only one batch are in memory at a time. Raises `ModelError` if
        the graph's output has the wrong shape.
        """
        for batch in self.encoder.encode(sequences):
            outputs = self._compress().run_named({"states": batch.states}, ["codes", "scales"])
            codes, scales = outputs["codes"], outputs["scales"]
            shape = batch.states.shape[:2]
            if codes.shape != (*shape, self.codes) or scales.shape != shape:
                raise ModelError(
                    "The output of compress.onnx has the wrong shape",
                    why=f"codes {codes.shape} and scales {scales.shape} for {shape} tokens, "
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
        """Return the record of one encoded sequence."""
        assert encoded.states is not None
        outputs = self._compress().run_named(
            {"states": encoded.states[None]}, ["codes", "scales"]
        )
        return Record(
            outputs["codes"][0].astype(np.int8),
            outputs["scales"][0].astype(np.float16),
            encoded.embedding,
        )


class RecordLookup:
    """The records of windows for one query: from memory, from the store, or from the encoder.

    - `lengths`: the tokens of each window by its key; `sequences`: returns the tokens of
      windows by key, where they must be encoded.
    - `encoded`: afterwards, how many tokens were encoded, by the key of the window.
    """

    def __init__(
        self,
        encoder: RecordEncoder,
        cache: RecordCache,
        store: StateStore | None,
        lengths: Mapping[bytes, int],
        sequences: Callable[[Collection[bytes]], Mapping[bytes, TokenSequence]],
    ) -> None:
        self.encoded: dict[bytes, int] = {}
        self._encoder, self._cache, self._store = encoder, cache, store
        self._lengths, self._sequences = lengths, sequences
        self._query_cache = RecordCache(_QUERY_CACHE_BYTES)
        # Indexes share the cache, and may store the same window in different formats.
        self._format = FULL if store is None else store.format
        self._mark = self._format.mark.encode()
        self._problems: dict[str, None] = {}

    @property
    def tokens(self) -> int:
        """How many tokens were encoded."""
        return sum(self.encoded.values())

    @property
    def reason(self) -> str | None:
        """Why stored records could not be read, or None."""
        if not self._problems:
            return None
        return f"{'; '.join(self._problems)}; documents were read again"

    def preload(self, keys: Sequence[bytes]) -> None:
        """Load the records of these windows into memory, as far as they fit."""
        for start in range(0, len(keys), WINDOWS_AT_ONCE):
            self.get(keys[start : start + WINDOWS_AT_ONCE])

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Record]:
        """Return the records of all these windows."""
        records: dict[bytes, Record] = {}
        for key in keys:
            record = self._cache.get(self._mark + key)
            record = self._query_cache.get(key) if record is None else record
            if record is not None:
                records[key] = record
        missing = [key for key in keys if key not in records]
        if self._store is not None and missing:
            lookup = self._store.get(missing)
            # A record of another length is that of another text.
            valid = {k: r for k, r in lookup.records.items() if r.tokens == self._lengths[k]}
            records |= valid
            self._add_to_cache(valid)
            if lookup.problem is not None:
                self._problems[lookup.problem] = None
            missing = [key for key in missing if key not in records]
        return records | self._encode(missing) if missing else records

    def _encode(self, keys: Sequence[bytes]) -> dict[bytes, Record]:
        sequences = self._sequences(keys)
        records: dict[bytes, Record] = {}
        for batch in self._encoder.encode([sequences[key] for key in keys]):
            records |= {keys[i]: self._format.as_stored(record) for i, record in batch}
        for key, record in records.items():
            self.encoded[key] = self.encoded.get(key, 0) + record.tokens
        self._add_to_cache(records)
        for key, record in records.items():
            self._query_cache.put(key, record)
        problem = None if self._store is None else self._store.put(records.items())
        if problem is not None:
            self._problems[problem] = None
        return records

    def _add_to_cache(self, records: Mapping[bytes, Record]) -> None:
        for key, record in records.items():
            self._cache.put(self._mark + key, record)
