"""Grouping of passages: at most so many of each document, or of each value of a field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, nearest
from secondpass.types import Document, is_missing

DOCUMENT = "document"
"""What groups the passages of one document, unlike the name of a field."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which passages of a ranking stay: `group_size` of each group, and none that is hidden.

    - `group_by`: "document", or a metadata field; None for no groups. A passage without a
      value is a group of its own.
    - `hidden`: ids of documents and of passages.
    - `first`: ids that are preferred to others of their group, whatever their rank.
    """

    group_by: str | None = None
    group_size: int = 1
    hidden: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()

    @property
    def drops(self) -> bool:
        """Whether any passage can be dropped."""
        return self.group_by is not None or bool(self.hidden)

    def check(self, fields: Mapping[str, str]) -> None:
        """Raise `InputError` for a field that the store does not have."""
        if self.group_by in (None, DOCUMENT) or self.group_by in fields:
            return
        raise InputError(
            f"there is no field {self.group_by!r} to group by",
            why="no document has it as text, number, date or boolean in its metadata",
            fix=nearest(str(self.group_by), [DOCUMENT, *fields]),
        )

    def hides(self, document: Document) -> bool:
        """Return whether a passage, or the document it is of, is hidden."""
        return document.id in self.hidden or document.document_id in self.hidden

    def group(self, document: Document) -> Hashable | None:
        """Return the group of a passage; None where it has no value of the field."""
        if self.group_by == DOCUMENT:
            return document.document_id
        value = document.metadata.get(str(self.group_by))
        if is_missing(value):
            return None
        return value if isinstance(value, Hashable) else repr(value)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a placement keeps of a ranking.

    - `positions`: of what stays, in the order of the ranking; `groups`: how many groups.
    - `without`: how many of those that stay have no value of the field.
    """

    positions: list[int]
    groups: int
    without: int


def place(documents: Sequence[Document], placement: Placement) -> Kept:
    """Return what a placement keeps of these passages, which are best first."""
    shown = [i for i, d in enumerate(documents) if not placement.hides(d)]
    if placement.group_by is None:
        return Kept(shown, len(shown), 0)
    order = sorted(shown, key=lambda i: not _is_one(documents[i], placement.first))
    sizes: Counter[Hashable] = Counter()
    kept, without = [], 0
    for i in order:
        group = placement.group(documents[i])
        if group is None:
            without += 1
        elif sizes[group] == placement.group_size:
            continue
        else:
            sizes[group] += 1
        kept.append(i)
    return Kept(sorted(kept), len(sizes) + without, without)


def _is_one(document: Document, ids: Collection[str]) -> bool:
    return document.id in ids or document.document_id in ids
