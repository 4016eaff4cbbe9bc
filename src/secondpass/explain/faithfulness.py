"""Whether the spans that are said to matter really do."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from secondpass.explain.occlusion import Cut, Scores
from secondpass.explain.spans import Place, words
from secondpass.explain.types import Faithfulness, Span
from secondpass.types import Document

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
