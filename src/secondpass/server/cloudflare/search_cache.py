"""A cache of search results and answers, looked up by similar queries."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

from secondpass.retrieve.lance.table import ENGLISH
from secondpass.server.cloudflare.schemas import CacheThreshold

_WORD = re.compile(r"[^\W_]+")
_MAX_CHARACTERS = 2000
_QUESTION_WORDS = (
    "what", "who", "how", "which", "do", "does", "s", "m", "re", "please", "me", "like"
)  # fmt: skip
_STOP_WORDS = frozenset({*ENGLISH, *_QUESTION_WORDS} - {"no", "not"})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What of a query is compared.

    - `shingles`: its words and its word pairs; `content_words`: the words that are no stop
      words, in order; `numbers`: the words with a digit.
    """

    shingles: frozenset[str]
    content_words: tuple[str, ...]
    numbers: frozenset[str]


class _ContentWords(Enum):
    """How the content words of two queries must agree."""

    EQUAL = "the same, in the same order"
    SUBSET = "those of one query are among those of the other"
    ANY = "not compared"


# The minimum Jaccard index, from strict to loose; a match at one level is one at the next.
_LEVELS: Mapping[CacheThreshold, tuple[float, _ContentWords]] = {
    "super_strict_match": (1.0, _ContentWords.EQUAL),
    "close_enough": (0.4, _ContentWords.EQUAL),
    "flexible_friend": (0.5, _ContentWords.SUBSET),
    "anything_goes": (0.4, _ContentWords.ANY),
}


def fingerprint(text: str) -> Fingerprint:
    """Return the fingerprint of a query, without regard to case and punctuation."""
    words = _WORD.findall(text.lower()[:_MAX_CHARACTERS])
    pairs = (f"{a} {b}" for a, b in pairwise(words))
    numbers = frozenset(w for w in words if any(c.isdigit() for c in w))
    content_words = tuple(w for w in words if w not in _STOP_WORDS)
    return Fingerprint(frozenset([*words, *pairs]), content_words, numbers)


def is_similar(a: Fingerprint, b: Fingerprint, threshold: CacheThreshold) -> bool:
    """Return whether the answer to one query serves for the other.

    By the Jaccard index of their shingles. Long queries that differ in one name have a high
    one, so all levels but the last compare the content words too, and all the numbers.
    """
    if a.numbers != b.numbers:
        return False
    similarity = jaccard(a.shingles, b.shingles)
    for name, (minimum, agreement) in _LEVELS.items():
        if similarity >= minimum and _agree(a.content_words, b.content_words, agreement):
            return True
        if name == threshold:
            break
    return False


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the Jaccard index of two sets, 0 to 1; 1 for two empty ones."""
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def _agree(a: tuple[str, ...], b: tuple[str, ...], agreement: _ContentWords) -> bool:
    if agreement is _ContentWords.EQUAL:
        return a == b
    if agreement is _ContentWords.SUBSET:
        return set(a) <= set(b) or set(b) <= set(a)
    return True


_MAX_BYTES = 64_000_000
_MAX_ANSWER_BYTES = 1_000_000
_MAX_ENTRIES_PER_SCOPE = 500
_ENTRY_OVERHEAD = 500
_SHINGLE_BYTES = 100


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A query, and everything else that its answer depends on.

    - `scope`: a hash of the instances and options; entries of other scopes are not compared.
    - `version`: the versions of the instances; entries of another version are dropped.
    - `ttl`: in seconds; `threshold`: how similar the query of an entry must be.
    """

    query: str
    scope: str
    version: tuple[Any, ...]
    ttl: float
    threshold: CacheThreshold


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: Fingerprint
    version: tuple[Any, ...]
    created: float
    answer: str


class SimilarityCache:
    """An in-memory LRU cache of JSON answers for all instances of a server. Thread-safe.

    `clock` is in seconds. Answers are stored as text, so that no caller can change them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._scopes: OrderedDict[str, list[_Entry]] = OrderedDict()
        self._bytes = 0

    def get(self, lookup: CacheLookup) -> Any | None:
        """Return the latest answer to a similar query, or None."""
        query = fingerprint(lookup.query)
        with self._lock:
            entries = self._drop_stale(lookup)
        for entry in reversed(entries):
            if is_similar(query, entry.fingerprint, lookup.threshold):
                return json.loads(entry.answer)
        return None

    def put(self, lookup: CacheLookup, answer: Any) -> None:
        """Store an answer, unless it is too long."""
        text = json.dumps(answer)
        if len(text) > _MAX_ANSWER_BYTES:
            return
        entry = _Entry(fingerprint(lookup.query), lookup.version, self._clock(), text)
        with self._lock:
            entries = self._drop_stale(lookup)[1 - _MAX_ENTRIES_PER_SCOPE :]
            self._replace(lookup.scope, [*entries, entry])
            while self._bytes > _MAX_BYTES:
                self._replace(next(iter(self._scopes)), [])

    def _drop_stale(self, lookup: CacheLookup) -> list[_Entry]:
        """Return the valid entries of a scope, and drop the others."""
        entries = self._scopes.get(lookup.scope, [])
        oldest = self._clock() - lookup.ttl
        valid = [e for e in entries if e.version == lookup.version and e.created > oldest]
        self._replace(lookup.scope, valid)
        return valid

    def _replace(self, scope: str, entries: list[_Entry]) -> None:
        self._bytes -= sum(map(_size, self._scopes.pop(scope, [])))
        if entries:
            self._scopes[scope] = entries
            self._bytes += sum(map(_size, entries))


def _size(entry: _Entry) -> int:
    return (
        len(entry.answer) + _SHINGLE_BYTES * len(entry.fingerprint.shingles) + _ENTRY_OVERHEAD
    )
