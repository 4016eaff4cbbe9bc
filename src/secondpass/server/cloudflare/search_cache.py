"""Answers to questions that were asked before in about the same words.

How alike two questions are, by their words.
"""

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

from secondpass.retrieve.languages import ENGLISH_STOP_WORDS
from secondpass.server.cloudflare.schemas import Likeness

_WORD = re.compile(r"[^\W_]+")
_LONGEST = 2000
_ASKING = ("what", "who", "how", "which", "do", "does", "s", "m", "re", "please", "me", "like")
_LIGHT = frozenset({*ENGLISH_STOP_WORDS, *_ASKING} - {"no", "not"})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A question as the cache sees it.

    - `shingles`: its words and its pairs of neighbours; `heavy`: the words that are neither
      stop words nor those of any question, in order; `numbers`: those with a digit.
    """

    shingles: frozenset[str]
    heavy: tuple[str, ...]
    numbers: frozenset[str]


class _Heavy(Enum):
    SAME = "the same, in the same order"
    PART = "one question has no other ones than the other has"
    ANY = "whatever they are"


# From strict to loose; what is alike on one level is so on those after it.
_LEVELS: Mapping[Likeness, tuple[float, _Heavy]] = {
    "super_strict_match": (1.0, _Heavy.SAME),
    "close_enough": (0.4, _Heavy.SAME),
    "flexible_friend": (0.5, _Heavy.PART),
    "anything_goes": (0.4, _Heavy.ANY),
}


def fingerprint(text: str) -> Fingerprint:
    """Return what of a text is compared; case and punctuation are not."""
    words = _WORD.findall(text.lower()[:_LONGEST])
    pairs = (f"{a} {b}" for a, b in pairwise(words))
    numbers = frozenset(w for w in words if any(c.isdigit() for c in w))
    heavy = tuple(w for w in words if w not in _LIGHT)
    return Fingerprint(frozenset([*words, *pairs]), heavy, numbers)


def alike(one: Fingerprint, other: Fingerprint, level: Likeness) -> bool:
    """Return whether an answer to one question serves for the other.

    By the Jaccard index of their shingles. Long questions that differ in one name are alike
    by that alone, so all levels but the last look at the words that carry meaning as well,
    and all at the numbers.
    """
    if one.numbers != other.numbers:
        return False
    found = jaccard(one.shingles, other.shingles)
    for name, (least, wanted) in _LEVELS.items():
        if found >= least and _fits(one.heavy, other.heavy, wanted):
            return True
        if name == level:
            break
    return False


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of all elements that both sets have, 0 to 1; 1 for two empty sets."""
    both = len(one | other)
    return len(one & other) / both if both else 1.0


def _fits(one: tuple[str, ...], other: tuple[str, ...], wanted: _Heavy) -> bool:
    if wanted is _Heavy.SAME:
        return one == other
    if wanted is _Heavy.PART:
        return set(one) <= set(other) or set(other) <= set(one)
    return True


_MOST_BYTES = 64_000_000
_MOST_OF_ONE = 1_000_000
_MOST_ALIKE = 500
_OVERHEAD = 500
_SHINGLE = 100


@dataclass(frozen=True, slots=True)
class CacheQuery:
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

    def get(self, asked: CacheQuery) -> Any | None:
        """Return the latest answer to a question that is like this one, or None."""
        wanted = fingerprint(asked.text)
        with self._lock:
            entries = self._fresh(asked)
        for entry in reversed(entries):
            if alike(wanted, entry.print, asked.level):
                return json.loads(entry.answer)
        return None

    def put(self, asked: CacheQuery, answer: Any) -> None:
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

    def _fresh(self, asked: CacheQuery) -> list[_Entry]:
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
