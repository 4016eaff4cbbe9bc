"""Occlusion: what each span of the query and the document adds to a score.

A span's contribution is the score with it less the score without it. `check_faithfulness`
tests whether the spans with the largest contributions matter more than random ones.
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
from secondpass.sentences import split_sentences
from secondpass.types import Candidate, Document

Offsets = tuple[int, int]
"""[start, end) in characters of a text."""

ScoreVariants = Callable[[Sequence[Document]], list[float]]
"""Returns the reranker's scores of variants of one document, for one query."""

MAX_SENTENCES = 40
MAX_WORDS = 80
_SENTENCES_WITH_WORDS = 3

ROUNDS = 20
_TOP_SHARE = 0.2
_MAX_TOP_SHARE = 0.4
_MIN_WORDS = 8
_UNLIMITED = 1 << 30

_WORD = re.compile(r"\S+")


def find_words(text: str, within: Offsets, limit: int) -> list[Offsets]:
    """Return the words of a part of a text, joined into at most `limit` spans."""
    spans = [(match.start(), match.end()) for match in _WORD.finditer(text, *within)]
    return join_spans(spans, limit)


def join_spans(spans: Sequence[Offsets], limit: int) -> list[Offsets]:
    """Return at most `limit` spans; neighbors are joined, about equally many into each."""
    if len(spans) <= limit:
        return list(spans)
    edges = [i * len(spans) // limit for i in range(limit + 1)]
    return [(spans[first][0], spans[last - 1][1]) for first, last in pairwise(edges)]


def delete_spans(text: str, spans: Sequence[Offsets]) -> str:
    """Return the text without some spans, which must not overlap."""
    pieces, position = [], 0
    for start, end in sorted(spans):
        pieces.append(text[position:start])
        position = end
    return "".join([*pieces, text[position:]])


@dataclass(frozen=True, slots=True)
class Deletion:
    """Spans to delete from the title and from the text of a document."""

    title: tuple[Offsets, ...] = ()
    text: tuple[Offsets, ...] = ()

    def apply(self, document: Document) -> Document:
        """Return the document without these spans; an empty title becomes None."""
        title = document.title
        if title is not None and self.title:
            title = delete_spans(title, self.title).strip()
            title = title if title else None
        return replace(document, title=title, text=delete_spans(document.text, self.text))


def variant_scorer(
    reranker: BaseReranker, query: str, options: ScoringOptions
) -> ScoreVariants:
    """Return a function that scores variants of a document in one batch."""

    def score_variants(documents: Sequence[Document]) -> list[float]:
        if not documents:
            return []
        scored = reranker.score(query, [Candidate(d) for d in documents], options)
        return [score.value for score in scored.scores]

    return score_variants


def document_spans(
    document: Document,
    full_score: float,
    score_variants: ScoreVariants,
    fields: Sequence[str] = ("title", "text"),
) -> list[Span]:
    """Return what the title and each sentence add to `full_score`, and the words of some.

    Words are those of the three spans that matter most. Title and text are skipped if they
    are not among `fields`, the fields that are read.
    """
    located: list[tuple[str, Offsets]] = []
    if "title" in fields and document.title is not None and document.title.strip():
        located.append(("title", (0, len(document.title))))
    if "text" in fields:
        sentences = join_spans(split_sentences(document.text), MAX_SENTENCES)
        located += [("text", sentence) for sentence in sentences]
    coarse = _contributions(document, "sentence", located, full_score, score_variants)
    refined = sorted(coarse, key=lambda s: -abs(s.contribution))[:_SENTENCES_WITH_WORDS]
    limit = MAX_WORDS // max(1, len(refined))
    words = [
        (span.where, word)
        for span in sorted(refined, key=lambda s: (s.where != "title", s.start))
        for word in find_words(_field(document, span.where), (span.start, span.end), limit)
    ]
    return [*coarse, *_contributions(document, "word", words, full_score, score_variants)]


def query_spans(
    reranker: BaseReranker,
    query: str,
    document: Document,
    full_score: float,
    options: ScoringOptions,
) -> list[Span]:
    """Return what each word of the query adds; none for a query of one word."""
    words = find_words(query, (0, len(query)), MAX_WORDS)
    if len(words) < 2:
        return []
    spans = []
    for start, end in words:
        shorter_query = " ".join(delete_spans(query, [(start, end)]).split())
        (score,) = variant_scorer(reranker, shorter_query, options)([document])
        spans.append(Span("query", "word", start, end, query[start:end], full_score - score))
    return spans


def _contributions(
    document: Document,
    level: str,
    located: Sequence[tuple[str, Offsets]],
    full_score: float,
    score_variants: ScoreVariants,
) -> list[Span]:
    deletions = [Deletion(**{field: (offsets,)}) for field, offsets in located]
    scores = score_variants([deletion.apply(document) for deletion in deletions])
    return [
        Span(field, level, start, end, _field(document, field)[start:end], full_score - score)
        for (field, (start, end)), score in zip(located, scores, strict=True)
    ]


def _field(document: Document, name: str) -> str:
    return document.text if name == "text" or document.title is None else document.title


_LocatedWords = list[tuple[str, Offsets]]


def check_faithfulness(
    document: Document,
    spans: Sequence[Span],
    full_score: float,
    score_variants: ScoreVariants,
    *,
    fields: Sequence[str] = ("title", "text"),
    seed: int = 0,
) -> Faithfulness | None:
    """Delete the top spans, and twenty times a random run of as many other words.

    Of the sentences, those that add most are deleted until a fifth of the words is gone;
    where that takes over two fifths, words are deleted instead. Of title and text, those
    among `fields` count. None for fewer than eight words.
    """
    all_words = _located_words("title", document.title or "") if "title" in fields else []
    all_words += _located_words("text", document.text) if "text" in fields else []
    if len(all_words) < _MIN_WORDS:
        return None
    top = _top_words(document, spans, "sentence", len(all_words))
    if len(top) > _MAX_TOP_SHARE * len(all_words):
        top = _top_words(document, spans, "word", len(all_words))
    deleted = set(top)
    other_words = [word for word in all_words if word not in deleted]
    generator = random.Random(seed)
    random_runs = []
    for _ in range(ROUNDS):
        start = generator.randrange(len(other_words))
        random_runs.append([*other_words[start:], *other_words[:start]][: len(top)])
    variants = [_deletion(words).apply(document) for words in (top, *random_runs)]
    top_score, *random_scores = score_variants(variants)
    top_drop, random_drops = full_score - top_score, full_score - np.array(random_scores)
    low, high = np.quantile(random_drops, [0.05, 0.95])
    return Faithfulness(
        drop=top_drop,
        random=float(random_drops.mean()),
        random_low=float(low),
        random_high=float(high),
        beaten=float((random_drops >= top_drop).mean()),
        removed=len(top),
        words=len(all_words),
        rounds=ROUNDS,
    )


def _top_words(
    document: Document, spans: Sequence[Span], level: str, total: int
) -> _LocatedWords:
    top: _LocatedWords = []
    for span in sorted((s for s in spans if s.level == level), key=lambda s: -s.contribution):
        if len(top) >= _TOP_SHARE * total:
            break
        text = document.text if span.where == "text" else document.title or ""
        top += _located_words(span.where, text, (span.start, span.end))
    return top


def _located_words(field: str, text: str, within: Offsets | None = None) -> _LocatedWords:
    part = (0, len(text)) if within is None else within
    return [(field, word) for word in find_words(text, part, _UNLIMITED)]


def _deletion(words: _LocatedWords) -> Deletion:
    return Deletion(
        title=tuple(word for field, word in words if field == "title"),
        text=tuple(word for field, word in words if field == "text"),
    )
