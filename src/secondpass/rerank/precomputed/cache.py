"""The records used last, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

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
