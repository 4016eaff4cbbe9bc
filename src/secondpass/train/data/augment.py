"""Queries as people type them: careless about case, marks and spelling, or keywords only."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, fields

from secondpass.errors import InputError

# Words that a keyword query leaves out.
_SMALL_WORDS = """
a an and are as at be been but by can could did do does for from had has have how i if in into
is it its me my no not of on or our shall should so such than that the their them then there
these they this to us was we were what when where which who whom whose why will with would you
your
"""
_SMALL = frozenset(_SMALL_WORDS.split())
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How likely, 0 to 1, each change of a query is.

    `typos` is the likelihood of one typing error in the query. Raises InputError for
    anything that is no likelihood.
    """

    lower_case: float = 0.3
    no_mark: float = 0.3
    keywords: float = 0.25
    typos: float = 0.1

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{one.name} is not from 0 to 1", why=f"it is {value!r}")


def augmented(query: str, how: Augmentation, chance: random.Random) -> str:
    """Return the query, changed or not; a query with text never loses all of it."""
    # Each likelihood is asked for even where it is 0, so that one setting does not change
    # what the others do.
    lower, unmarked, short, typo = (chance.random() for _ in range(4))
    changed = query
    if short < how.keywords:
        changed = keywords(changed)
    if unmarked < how.no_mark:
        changed = changed.rstrip().rstrip("?!.").rstrip()
    if lower < how.lower_case:
        changed = changed.lower()
    if typo < how.typos:
        changed = mistyped(changed, chance)
    return changed if changed.strip() else query


def keywords(query: str) -> str:
    """Return the words that carry meaning, or the query if fewer than two are left."""
    words = [word for word in _WORD.findall(query) if word.lower() not in _SMALL]
    return " ".join(words) if len(words) >= 2 else query


def mistyped(query: str, chance: random.Random) -> str:
    """Return the query with one letter of a longer word doubled, dropped or swapped."""
    words = [found for found in _WORD.finditer(query) if len(found.group()) >= 4]
    if not words:
        return query
    word = chance.choice(words)
    # The first letter is the one that people get right.
    place = chance.randrange(word.start() + 1, word.end() - 1)
    kind = chance.randrange(3)
    here, next_ = query[place], query[place + 1]
    middle = (here + here + next_, next_, next_ + here)[kind]
    return query[:place] + middle + query[place + 2 :]


def variants(query: str, count: int, how: Augmentation, seed: str) -> list[str]:
    """Return up to `count` changed forms of a query, none twice and none the query itself."""
    chance = random.Random(seed)
    found = dict.fromkeys(augmented(query, how, chance) for _ in range(count))
    found.pop(query, None)
    return list(found)
