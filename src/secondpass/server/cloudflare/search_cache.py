"""Answers to questions that were asked before in about the same words."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from secondpass.server.cloudflare.schemas import Likeness
from secondpass.server.cloudflare.similarity import Fingerprint, alike, fingerprint

_MOST_BYTES = 64_000_000
_MOST_OF_ONE = 1_000_000
_MOST_ALIKE = 500
_OVERHEAD = 500
_SHINGLE = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and all that an answer depends on beside its words.

    - `scope`: who asks what with which options: only answers of the same are looked at.
    - `stamp`: the state of the instances; an answer from another state is dropped.
    - `lifetime`: in seconds; `level`: how alike the question of an answer must be.
    """

    text: str
    scope: str
    stamp: tuple[Any, ...]
    lifetime: float
    level: Likeness


@dataclass(frozen=True, slots=True)
class _Entry:
    print: Fingerprint
    stamp: tuple[Any, ...]
    made: float
    answer: str


class SimilarityCache:
    """Keeps answers in memory, the latest used of them, for all instances of a server.

    `clock` is in seconds. Answers are kept as JSON, so that nobody changes a kept one.
    Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._scopes: OrderedDict[str, list[_Entry]] = OrderedDict()
        self._bytes = 0

    def get(self, asked: Asked) -> Any | None:
        """Return the latest answer to a question that is like this one, or None."""
        wanted = fingerprint(asked.text)
        with self._lock:
            entries = self._fresh(asked)
        for entry in reversed(entries):
            if alike(wanted, entry.print, asked.level):
                return json.loads(entry.answer)
        return None

    def put(self, asked: Asked, answer: Any) -> None:
        """Keep an answer; one that is very long is not kept."""
        text = json.dumps(answer)
        if len(text) > _MOST_OF_ONE:
            return
        entry = _Entry(fingerprint(asked.text), asked.stamp, self._clock(), text)
        with self._lock:
            entries = self._fresh(asked)[1 - _MOST_ALIKE :]
            self._replace(asked.scope, [*entries, entry])
            while self._bytes > _MOST_BYTES:
                self._replace(next(iter(self._scopes)), [])

    def _fresh(self, asked: Asked) -> list[_Entry]:
        """Return the answers that still hold; the others go."""
        entries = self._scopes.get(asked.scope, [])
        oldest = self._clock() - asked.lifetime
        kept = [e for e in entries if e.stamp == asked.stamp and e.made > oldest]
        self._replace(asked.scope, kept)
        return kept

    def _replace(self, scope: str, entries: list[_Entry]) -> None:
        self._bytes -= sum(map(_size, self._scopes.pop(scope, [])))
        if entries:
            self._scopes[scope] = entries
            self._bytes += sum(map(_size, entries))


def _size(entry: _Entry) -> int:
    return len(entry.answer) + _SHINGLE * len(entry.print.shingles) + _OVERHEAD
