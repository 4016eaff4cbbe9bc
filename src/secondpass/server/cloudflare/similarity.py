"""How alike two questions are, by their words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from secondpass.retrieve.lance.stopwords import ENGLISH
from secondpass.server.cloudflare.schemas import Likeness

_WORD = re.compile(r"[^\W_]+")
_LONGEST = 2000
_ASKING = ("what", "who", "how", "which", "do", "does", "s", "m", "re", "please", "me", "like")
_LIGHT = frozenset({*ENGLISH, *_ASKING} - {"no", "not"})


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
