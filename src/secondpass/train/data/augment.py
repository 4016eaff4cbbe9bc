"""Query augmentation: lower case, missing punctuation, keyword queries, typing errors."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, fields

from secondpass.errors import InputError

# Stop words that a keyword query leaves out.
_WORDS = """
a an and are as at be been but by can could did do does for from had has have how i if in into
is it its me my no not of on or our shall should so such than that the their them then there
these they this to us was we were what when where which who whom whose why will with would you
your
"""
STOP_WORDS = frozenset(_WORDS.split())
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The probability, 0 to 1, of each change of a query.

    `no_mark` drops the final punctuation, `keywords` leaves keywords only, `typos` makes one
    typing error. Raises InputError for a value that is not a probability.
    """

    lower_case: float = 0.3
    no_mark: float = 0.3
    keywords: float = 0.25
    typos: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(
                    f"the probability {field.name} is not between 0 and 1",
                    why=f"it is {value!r}",
                )


def augment(query: str, augmentation: Augmentation, rng: random.Random) -> str:
    """Return the query, possibly changed; a query with text never becomes empty."""
    # One draw for each kind of change, even at probability 0, so that one setting does not
    # change what the others do.
    lower, unmarked, short, typo = (rng.random() for _ in range(4))
    changed = query
    if short < augmentation.keywords:
        changed = to_keywords(changed)
    if unmarked < augmentation.no_mark:
        changed = changed.rstrip().rstrip("?!.").rstrip()
    if lower < augmentation.lower_case:
        changed = changed.lower()
    if typo < augmentation.typos:
        changed = add_typo(changed, rng)
    return changed if changed.strip() else query


def to_keywords(query: str) -> str:
    """Drop stop words; return the query unchanged if fewer than two words are left."""
    words = [word for word in _WORD.findall(query) if word.lower() not in STOP_WORDS]
    return " ".join(words) if len(words) >= 2 else query


def add_typo(query: str, rng: random.Random) -> str:
    """Double, drop or swap one letter of a word of four letters or more."""
    words = [match for match in _WORD.finditer(query) if len(match.group()) >= 4]
    if not words:
        return query
    word = rng.choice(words)
    # People rarely get the first letter wrong.
    position = rng.randrange(word.start() + 1, word.end() - 1)
    kind = rng.randrange(3)
    letter, following = query[position], query[position + 1]
    replacement = (letter + letter + following, following, following + letter)[kind]
    return query[:position] + replacement + query[position + 2 :]


def query_variants(query: str, count: int, augmentation: Augmentation, seed: str) -> list[str]:
    """Return up to `count` distinct augmented forms of a query, without the query itself."""
    rng = random.Random(seed)
    variants = dict.fromkeys(augment(query, augmentation, rng) for _ in range(count))
    variants.pop(query, None)
    return list(variants)
