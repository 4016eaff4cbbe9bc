"""Training examples: queries with positive and negative passages."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders.jsonl import rows
from secondpass.retrieve.store_protocol import searchable

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Group:
    """A query with passages that answer it (positives) and passages that do not (negatives).

    `positives` and `negatives` are indices into `Examples.passages`, from 0, without
    duplicates; `source` names the data set. `scores` are a teacher's, any real numbers, higher
    is better: those of the positives, then those of the negatives.

    Raises InputError for a query without text or positives, a passage named twice, or scores
    that are not finite or not one for each passage.
    """

    query: str
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    source: str = ""
    scores: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        indices = (*self.positives, *self.negatives)
        why = None
        if not self.query.strip():
            why = "the query is empty"
        elif not self.positives:
            why = "it has no positive"
        elif len(set(indices)) < len(indices):
            why = "it names a passage twice"
        elif self.scores is not None and len(self.scores) != len(indices):
            why = f"it has {len(self.scores)} scores for {len(indices)} passages"
        elif self.scores is not None and not all(map(math.isfinite, self.scores)):
            why = "a score is not a finite number"
        if why is not None:
            raise InputError("the group is not valid", where=repr(self.query[:80]), why=why)


@dataclass(frozen=True, slots=True)
class Examples:
    """Groups and their passages; a passage may be in no group.

    A passage is what the model reads: the title, a line break and the text, or the text alone.
    Raises InputError for a passage without text, and for a group with an index out of range.
    """

    passages: list[str]
    groups: list[Group]

    def __post_init__(self) -> None:
        for index, passage in enumerate(self.passages):
            if not passage.strip():
                raise InputError("a passage has no text", where=f"passage {index}")
        for group in self.groups:
            check_indices(group, len(self.passages))


def check_indices(group: Group, count: int) -> None:
    """Raise InputError where a group names a passage that is not among the first `count`."""
    for index in (*group.positives, *group.negatives):
        if not 0 <= index < count:
            raise InputError(
                f"a group names passage {index}",
                where=repr(group.query[:80]),
                why=f"there are {count} passages, numbered from 0",
            )


def normalize_text(text: str) -> str:
    """Return the words in order, joined by one space: case, punctuation and spacing are gone.

    Texts that are equal after this are near duplicates. A text without a word is returned as
    it is, without surrounding white space.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(_WORD.findall(folded))
    return words if words else text.strip()


@dataclass(slots=True)
class _GroupBuilder:
    source: str
    # Dictionaries, as ordered sets.
    positives: dict[int, None] = field(default_factory=dict)
    negatives: dict[int, None] = field(default_factory=dict)


class ExamplesBuilder:
    """Builds examples from judgments: each passage is stored once, and each query once."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}
        self._groups: dict[str, _GroupBuilder] = {}

    def add_passage(self, text: str) -> int:
        """Return the index of a passage; a new one is stored."""
        return self._indices.setdefault(clean(text), len(self._indices))

    def add_judgment(
        self, query: str, passage: int, *, positive: bool, source: str = ""
    ) -> None:
        """Record whether a passage answers a query; positive wins over negative."""
        group = self._groups.setdefault(clean(query), _GroupBuilder(clean(source)))
        (group.positives if positive else group.negatives)[passage] = None

    def build(self) -> Examples:
        """Return the examples; queries without a positive are left out."""
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
        return Examples(list(self._indices), groups)


def read_pairs(file: Path) -> Examples:
    """Read JSON lines with `query`, `positive`, optional `title`, `negatives` and `source`.

    `title` is that of the positive; `negatives` is a list of texts. Rows with the same query
    become one group. Raises InputError that names the invalid line.
    """
    builder = ExamplesBuilder()
    for row in rows(file):
        query, title, source = row.text("query"), row.optional("title"), row.optional("source")
        positive = searchable(title if title else None, row.text("positive"))
        builder.add_judgment(query, builder.add_passage(positive), positive=True, source=source)
        for text in row.texts("negatives"):
            builder.add_judgment(query, builder.add_passage(text), positive=False)
    return builder.build()
