"""What each piece of query and document adds to a score: leave it out and see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from secondpass.explain.spans import Place, sentences, without, words
from secondpass.explain.types import Span
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate, Document

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


def scorer(reranker: BaseReranker, query: str, reading: Reading) -> Scores:
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
    reranker: BaseReranker, query: str, document: Document, whole: float, reading: Reading
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
