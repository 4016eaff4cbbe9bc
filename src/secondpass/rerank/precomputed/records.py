"""The records of one search: from memory, from the store, or from the encoder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from secondpass.inference.tokenizer import TokenSequence
from secondpass.rerank.precomputed.cache import RecordCache
from secondpass.rerank.precomputed.states import StateReader
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record

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
