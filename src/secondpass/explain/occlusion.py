"""What each piece of query and document adds to a score: leave it out and see.

Where a text's sentences and words are.

Whether the spans that are said to matter really do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from secondpass.explain.types import Faithfulness, Span
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, Document

Place = tuple[int, int]

_BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？])|\n+")  # noqa: RUF001 - CJK ends
_WORD = re.compile(r"\S+")


def sentences(text: str, most: int) -> list[Place]:
    """Return [start, end) of each sentence or line, at most `most`; short ones are joined.

    White space around them belongs to none.
    """
    edges = [0, *(m.end() for m in _BREAK.finditer(text)), len(text)]
    found = [_trimmed(text, start, end) for start, end in pairwise(edges)]
    return joined([place for place in found if place[0] < place[1]], most)


def words(text: str, place: Place, most: int) -> list[Place]:
    """Return [start, end) of each word within a place, at most `most`, else joined."""
    found = [(m.start(), m.end()) for m in _WORD.finditer(text, *place)]
    return joined(found, most)


def joined(places: Sequence[Place], most: int) -> list[Place]:
    """Return the places in at most `most` runs of neighbours, about equally many in each."""
    if len(places) <= most:
        return list(places)
    edges = [i * len(places) // most for i in range(most + 1)]
    pairs = pairwise(edges)
    return [(places[start][0], places[end - 1][1]) for start, end in pairs]


def without(text: str, places: Sequence[Place]) -> str:
    """Return the text without some places, which do not overlap."""
    kept, position = [], 0
    for start, end in sorted(places):
        kept.append(text[position:start])
        position = end
    return "".join([*kept, text[position:]])


def _trimmed(text: str, start: int, end: int) -> Place:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    return start + lead, max(start + lead, start + len(piece.rstrip()))


SENTENCES = 40
WORDS = 80
_REFINED = 3

Scores = Callable[[Sequence[Document]], list[float]]
"""The reranker's scores of variants of one document, for one query."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Pieces to leave out of a document: characters of its title and of its text."""

    title: tuple[Place, ...] = ()
    text: tuple[Place, ...] = ()

    def of(self, document: Document) -> Document:
        """Return the document without these pieces."""
        title = document.title
        if title is not None and self.title:
            title = without(title, self.title).strip()
            title = title if title else None
        return replace(document, title=title, text=without(document.text, self.text))


def scorer(reranker: BaseReranker, query: str, reading: ScoringOptions) -> Scores:
    """Return what scores variants of a document, all in one batch."""

    def scores(documents: Sequence[Document]) -> list[float]:
        if not documents:
            return []
        scored = reranker.score(query, [Candidate(d) for d in documents], reading)
        return [s.value for s in scored.scores]

    return scores


def document_spans(
    document: Document,
    whole: float,
    scores: Scores,
    names: Sequence[str] = ("title", "text"),
) -> list[Span]:
    """Return what title and sentences add to the score `whole`, and the words of the best.

    Words are told of the title and of the three sentences that matter most; nothing of what
    is not among `names`, the fields that are read.
    """
    places = []
    if "text" in names:
        places = [("text", place) for place in sentences(document.text, SENTENCES)]
    if "title" in names and document.title is not None and document.title.strip():
        places.insert(0, ("title", (0, len(document.title))))
    coarse = _spans(document, "sentence", places, whole, scores)
    chosen = sorted(coarse, key=lambda s: -abs(s.contribution))[:_REFINED]
    share = WORDS // max(1, len(chosen))
    fine = [
        (span.where, place)
        for span in sorted(chosen, key=lambda s: (s.where != "title", s.start))
        for place in words(_field(document, span.where), (span.start, span.end), share)
    ]
    return [*coarse, *_spans(document, "word", fine, whole, scores)]


def query_spans(
    reranker: BaseReranker,
    query: str,
    document: Document,
    whole: float,
    reading: ScoringOptions,
) -> list[Span]:
    """Return what each word of the query adds; none for a query of one word."""
    found = []
    places = words(query, (0, len(query)), WORDS)
    for start, end in places if len(places) > 1 else ():
        rest = " ".join(without(query, [(start, end)]).split())
        (value,) = scorer(reranker, rest, reading)([document])
        found.append(Span("query", "word", start, end, query[start:end], whole - value))
    return found


def _spans(
    document: Document,
    level: str,
    places: Sequence[tuple[str, Place]],
    whole: float,
    scores: Scores,
) -> list[Span]:
    cuts = [Cut(**{where: (place,)}) for where, place in places]
    values = scores([cut.of(document) for cut in cuts])
    return [
        Span(where, level, *place, _field(document, where)[slice(*place)], whole - value)
        for (where, place), value in zip(places, values, strict=True)
    ]


def _field(document: Document, where: str) -> str:
    return document.text if where == "text" or document.title is None else document.title


ROUNDS = 20
_SHARE = 0.2
_MOST = 0.4
_FEWEST_WORDS = 8
_EVERY = 1 << 30

Words = list[tuple[str, Place]]


def faithfulness(
    document: Document,
    spans: Sequence[Span],
    whole: float,
    scores: Scores,
    *,
    names: Sequence[str] = ("title", "text"),
    seed: int = 0,
) -> Faithfulness | None:
    """Delete the top spans, and twenty times a random run of as many other words.

    Of the sentences, those that add most are deleted until a fifth of the words is gone;
    where that takes over two fifths, words are deleted instead. Of title and text, those
    among `names` count; None for fewer than eight words.
    """
    every = _words("title", document.title or "", None) if "title" in names else []
    every += _words("text", document.text, None) if "text" in names else []
    if len(every) < _FEWEST_WORDS:
        return None
    top = _top(document, spans, "sentence", len(every))
    if len(top) > _MOST * len(every):
        top = _top(document, spans, "word", len(every))
    gone = set(top)
    rest = [word for word in every if word not in gone]
    chance = random.Random(seed)
    others = []
    for _ in range(ROUNDS):
        start = chance.randrange(len(rest))
        others.append([*rest[start:], *rest[:start]][: len(top)])
    first, *found = scores([_cut(chosen).of(document) for chosen in (top, *others)])
    drops = whole - np.array(found)
    low, high = np.quantile(drops, [0.05, 0.95])
    return Faithfulness(
        drop=whole - first,
        random=float(drops.mean()),
        random_low=float(low),
        random_high=float(high),
        beaten=float((drops >= whole - first).mean()),
        removed=len(top),
        words=len(every),
        rounds=ROUNDS,
    )


def _top(document: Document, spans: Sequence[Span], level: str, total: int) -> Words:
    top: Words = []
    for span in sorted((s for s in spans if s.level == level), key=lambda s: -s.contribution):
        if len(top) >= _SHARE * total:
            break
        text = document.text if span.where == "text" else document.title or ""
        top += _words(span.where, text, (span.start, span.end))
    return top


def _words(where: str, text: str, place: Place | None) -> Words:
    inside = (0, len(text)) if place is None else place
    return [(where, one) for one in words(text, inside, _EVERY)]


def _cut(chosen: Words) -> Cut:
    by_field = {
        name: tuple(place for where, place in chosen if where == name)
        for name in ("title", "text")
    }
    return Cut(**by_field)
