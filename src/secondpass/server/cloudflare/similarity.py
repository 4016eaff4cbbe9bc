"""How alike two questions are, by their words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from secondpass.retrieve.stopwords import ENGLISH
from secondpass.server.cloudflare.instance_form import Likeness

_WORD = re.compile(r"[^\W_]+")
_LONGEST = 2000
_ASKING = ("what", "who", "how", "which", "do", "does", "s", "m", "re", "please", "me", "like")
_LIGHT = frozenset({*ENGLISH, *_ASKING} - {"no", "not"})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A question as the cache sees it.

    - `shingles`: its words and its pairs of neighbours; `heavy`: the words that are neither
      stop words nor those of any question; `numbers`: those with a digit.
    """

    shingles: frozenset[str]
    heavy: frozenset[str]
    numbers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Level:
    least: float
    same_heavy: bool


# From strict to loose; what is alike on one level is so on those after it.
_LEVELS: Mapping[Likeness, _Level] = {
    "super_strict_match": _Level(1.0, True),
    "close_enough": _Level(0.4, True),
    "flexible_friend": _Level(0.6, False),
    "anything_goes": _Level(0.4, False),
}


def fingerprint(text: str) -> Fingerprint:
    """Return what of a text is compared; case and punctuation are not."""
    words = _WORD.findall(text.lower()[:_LONGEST])
    pairs = (f"{a} {b}" for a, b in pairwise(words))
    numbers = frozenset(w for w in words if any(c.isdigit() for c in w))
    return Fingerprint(frozenset([*words, *pairs]), frozenset(words) - _LIGHT, numbers)


def alike(one: Fingerprint, other: Fingerprint, level: Likeness) -> bool:
    """Return whether an answer to one question serves for the other.

    By the Jaccard index of their shingles. Long questions that differ in one name are alike
    by that alone, so the two strict levels also want the same words that carry meaning, and
    all levels the same numbers.
    """
    if one.numbers != other.numbers:
        return False
    found, same = jaccard(one.shingles, other.shingles), one.heavy == other.heavy
    for name, wanted in _LEVELS.items():
        if found >= wanted.least and (same or not wanted.same_heavy):
            return True
        if name == level:
            break
    return False


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of all elements that both sets have, 0 to 1; 1 for two empty sets."""
    both = len(one | other)
    return len(one & other) / both if both else 1.0
