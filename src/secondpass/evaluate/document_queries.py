"""Queries made of documents, for want of real ones: weak, and said to be."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from secondpass.types import Document

WEAK = (
    "These queries are made of the documents' own words, so any system finds their sources, "
    "and word matching best of all. Use them to try things out, or to have something to "
    "judge; do not compare systems by which one finds the source."
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SENTENCE = re.compile(r"\A\s*(.+?[.!?])(?:\s|\Z)", re.DOTALL)
_MOST_WORDS = 16


@dataclass(frozen=True, slots=True)
class MadeQuery:
    """A query, of which document it was made, and of what: title, heading or sentence."""

    text: str
    source: str
    kind: str


def queries_of(document: Document) -> list[MadeQuery]:
    """Return the queries that a document gives: its title, headings, and first sentence."""
    source = document.id or ""
    found = []
    if document.title is not None and document.title.strip():
        found.append(MadeQuery(" ".join(document.title.split()), source, "title"))
    for heading in _HEADING.findall(document.text):
        found.append(MadeQuery(" ".join(heading.split()), source, "heading"))
    sentence = _SENTENCE.match(_HEADING.sub("", document.text))
    if sentence is not None:
        words = sentence[1].rstrip(".!").split()[:_MOST_WORDS]
        found.append(MadeQuery(" ".join(words), source, "sentence"))
    return [one for one in found if any(c.isalnum() for c in one.text)]


def sample_documents(
    documents: Iterable[Document], count: int, *, seed: int = 0
) -> list[MadeQuery]:
    """Return up to `count` distinct queries, one of each document as long as there are any.

    The same documents in any order give the same queries.
    """
    chance = random.Random(seed)
    sources = sorted(documents, key=lambda d: d.id or "")
    chance.shuffle(sources)
    made = [queries_of(document) for document in sources]
    for some in made:
        chance.shuffle(some)
    chosen: dict[str, MadeQuery] = {}
    while len(chosen) < count and any(made):
        for some in made:
            if some and len(chosen) < count:
                one = some.pop()
                chosen.setdefault(one.text.casefold(), one)
    return list(chosen.values())
