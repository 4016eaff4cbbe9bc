"""The scores used last, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from secondpass.rerank.base import Score
from secondpass.types import ScoreKind


class Kept(NamedTuple):
    """A score, and what kind it is."""

    score: Score
    kind: ScoreKind


class ScoreMemory:
    """Keeps the scores used last, at most `limit` of them; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        """Return those that are kept, and count them as used."""
        found: dict[bytes, Kept] = {}
        with self._lock:
            for key in keys:
                kept = self._kept.get(key)
                if kept is not None:
                    self._kept.move_to_end(key)
                    found[key] = kept
        return found

    def put(self, scores: Mapping[bytes, Kept]) -> None:
        """Keep scores, in place of those not used for longest."""
        with self._lock:
            for key, kept in scores.items():
                self._kept[key] = kept
                self._kept.move_to_end(key)
            while len(self._kept) > self.limit:
                self._kept.popitem(last=False)
