"""Which records stay when others are removed, and what a removal has done."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class KeySet:
    """A set of keys that keeps eight bytes of each, so that those of millions fit in memory.

    It may take a key for one of its own that is not: among a million keys, for one of some
    ten million millions.
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._hashes = array("q")
        self._sorted: NDArray[np.int64] | None = None
        self.add(keys)

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._hashes)

    def add(self, keys: Iterable[bytes]) -> None:
        """Add keys."""
        self._hashes.extend(map(hash, keys))
        self._sorted = None

    def contains(self, keys: Sequence[bytes]) -> list[bool]:
        """Return for each key whether it is in the set."""
        if self._sorted is None:
            self._sorted = np.unique(np.array(self._hashes, dtype=np.int64))
        if not len(self._sorted):
            return [False] * len(keys)
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        places = np.searchsorted(self._sorted, hashes)
        found: list[bool] = (self._sorted.take(places, mode="clip") == hashes).tolist()
        return found


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of the states of passages.

    - `states`: how many records, of `bytes` in all; `files`: of them whole files.
    - `freed`: by how many bytes the files are smaller now. Space inside of a file that is not
      freed is used for later records.
    - `problem`: why not all of it could be removed; None where it was.
    """

    states: int = 0
    bytes: int = 0
    files: int = 0
    freed: int = 0
    problem: str | None = None

    def __add__(self, other: Removed) -> Removed:
        """Return both together."""
        return Removed(
            self.states + other.states,
            self.bytes + other.bytes,
            self.files + other.files,
            self.freed + other.freed,
            self.problem if other.problem is None else other.problem,
        )
