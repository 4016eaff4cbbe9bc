"""What a reranker learns from: queries, each with passages that answer it and that do not.

Pairs of a query and a passage that answers it, one a line of JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders.jsonl import rows
from secondpass.retrieve.store_protocol import searchable


@dataclass(frozen=True, slots=True)
class Group:
    """A query with the passages that answer it and some that do not.

    `positives` and `negatives` are places in `Examples.passages`, from 0, none of them
    twice; `source` names the data set. `scores` are a teacher's, any real numbers, higher
    is better: those of the positives, then those of the negatives.

    Raises InputError for a query without text or positives, a passage named twice, or
    scores that are not finite or not one for each passage.
    """

    query: str
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    source: str = ""
    scores: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        places = (*self.positives, *self.negatives)
        why = None
        if not self.query.strip():
            why = "the query is empty"
        elif not self.positives:
            why = "it has no positive"
        elif len(set(places)) < len(places):
            why = "it names a passage twice"
        elif self.scores is not None and len(self.scores) != len(places):
            why = f"it has {len(self.scores)} scores for {len(places)} passages"
        elif self.scores is not None and not all(map(math.isfinite, self.scores)):
            why = "a score is not a finite number"
        if why is not None:
            raise InputError("a group cannot be used", where=repr(self.query[:80]), why=why)


@dataclass(frozen=True, slots=True)
class Examples:
    """Groups, and the passages that they name; a passage may be in none.

    A passage is what the model reads: the title, a line break and the text, or the text.
    Raises InputError for a passage without text, and for a group that names a passage that
    is not there.
    """

    passages: list[str]
    groups: list[Group]

    def __post_init__(self) -> None:
        for place, passage in enumerate(self.passages):
            if not passage.strip():
                raise InputError("a passage has no text", where=f"passage {place}")
        for group in self.groups:
            check_places(group, len(self.passages))


def check_places(group: Group, count: int) -> None:
    """Raise InputError where a group names a passage that is not among the first `count`."""
    for place in (*group.positives, *group.negatives):
        if not 0 <= place < count:
            raise InputError(
                f"a group names passage {place}",
                where=repr(group.query[:80]),
                why=f"there are {count}, numbered from 0",
            )


@dataclass(slots=True)
class _Open:
    source: str
    positives: dict[int, None] = field(default_factory=dict)
    negatives: dict[int, None] = field(default_factory=dict)


class Collector:
    """Puts examples together from rows: each passage once, and each query once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._groups: dict[str, _Open] = {}

    def passage(self, text: str) -> int:
        """Return the place of a passage, stored now if it is new."""
        return self._places.setdefault(clean(text), len(self._places))

    def judge(self, query: str, place: int, *, positive: bool, source: str = "") -> None:
        """Record that a passage answers a query or does not; of two answers, yes counts."""
        group = self._groups.setdefault(clean(query), _Open(clean(source)))
        (group.positives if positive else group.negatives)[place] = None

    def examples(self) -> Examples:
        """Return what was collected; queries without a positive are left out."""
        groups = [
            Group(
                query,
                tuple(group.positives),
                tuple(p for p in group.negatives if p not in group.positives),
                group.source,
            )
            for query, group in self._groups.items()
            if group.positives
        ]
        return Examples(list(self._places), groups)


def read_pairs(file: Path) -> Examples:
    """Read rows with `query`, `positive`, and optional `title`, `negatives`, `source`.

    `title` is that of the positive; `negatives` is a list of texts. Rows with the same
    query become one group. Raises InputError naming the line that cannot be used.
    """
    found = Collector()
    for row in rows(file):
        query, title, source = row.text("query"), row.optional("title"), row.optional("source")
        positive = searchable(title if title else None, row.text("positive"))
        found.judge(query, found.passage(positive), positive=True, source=source)
        for text in row.texts("negatives"):
            found.judge(query, found.passage(text), positive=False)
    return found.examples()
