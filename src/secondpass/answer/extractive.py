"""Extractive answers: the best sentences of the passages, without a language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from secondpass.answer.citations import find_citations
from secondpass.answer.types import Answer, AnswerStatus, Passage
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.spans import Spans
from secondpass.sentences import split_sentences
from secondpass.types import Document

_MAX_SENTENCES_READ = 40
_MAX_SENTENCES_QUOTED = 3
_LIKELY = 0.5


def extract_answer(draft: Answer, reranker: BaseReranker | None = None) -> Answer:
    """Return an answer with the best sentences of its passages as its text.

    The reranker (the bundled one by default) finds them (`RankedDocument.spans`), or, where it
    gives no spans, scores the sentences as documents. The passages of the answer have their
    best sentence as `highlight`.
    """
    reranker = _bundled() if reranker is None else reranker
    if reranker.spans_from is None:
        passages, scores = highlight_passages(draft.query, draft.passages, reranker)
    else:
        passages, _ = find_spans(draft.query, draft.passages, reranker)
        scores = [p.spans[0].score if p.spans else -math.inf for p in passages]
    text = quote_highlights(passages, scores, max_sentences=_MAX_SENTENCES_QUOTED)
    return replace(
        draft,
        text=text,
        status=AnswerStatus.EXTRACTIVE,
        citations=tuple(find_citations(text, passages)),
        passages=tuple(passages),
        model=reranker.model,
    )


def _bundled() -> BaseReranker:
    from secondpass.reranker import Reranker

    return Reranker()


def find_spans(
    query: str, passages: Sequence[Passage], reranker: BaseReranker | None = None
) -> tuple[list[Passage], list[float]]:
    """Return the passages with the sentences that answer, and how likely each is, up to 1.

    The likelihood is relative to that of the best passage. Each has its best sentence in
    `spans` and as `highlight`, unless nothing of its text could be read; others need a
    probability of `Spans().threshold`, times the likelihood of the passage. Raises `InputError`
    for a reranker that gives no spans.
    """
    if not passages:
        return [], []
    reranker = _bundled() if reranker is None else reranker
    documents = [Document(passage.text, title=passage.title) for passage in passages]
    found = reranker.rerank(query, documents, spans=Spans(threshold=0.0))
    results = {result.index: result for result in found.results}
    best = max((r.probability or 0.0 for r in found.results), default=0.0)
    with_spans, likelihoods = [], []
    for position, passage in enumerate(passages):
        probability = results[position].probability
        likelihood = 1.0 if probability is None or not best else probability / best
        spans = tuple(
            span
            for rank, span in enumerate(results[position].spans)
            if not rank or span.probability * likelihood >= Spans().threshold
        )
        highlight = (spans[0].start, spans[0].end) if spans else (0, len(passage.text))
        with_spans.append(replace(passage, spans=spans, highlight=highlight))
        likelihoods.append(likelihood)
    return with_spans, likelihoods


def text_of_spans(passage: Passage, likelihood: float = 1.0) -> str:
    """Return the sentences of a passage that answer.

    With those before and after the best, so that it can be read, in passages that are at least
    half as likely as the best passage. Left-out sentences are marked by an ellipsis. A passage
    without spans is returned whole.
    """
    if not passage.spans:
        return passage.text
    sentences = split_sentences(passage.text)
    kept = {
        i for i, s in enumerate(sentences) if s in {(x.start, x.end) for x in passage.spans}
    }
    best = sentences.index((passage.spans[0].start, passage.spans[0].end))
    if likelihood >= _LIKELY:
        kept |= {max(0, best - 1), min(best + 1, len(sentences) - 1)}
    pieces, previous = [], -1
    for i in sorted(kept):
        if i > previous + 1:
            pieces.append("…")
        start, end = sentences[i]
        pieces.append(passage.text[start:end])
        previous = i
    if previous < len(sentences) - 1:
        pieces.append("…")
    return " ".join(pieces)


def highlight_passages(
    query: str, passages: Sequence[Passage], reranker: BaseReranker
) -> tuple[list[Passage], list[float]]:
    """Return the passages with their best sentence as `highlight`, and each one's score.

    The reranker scores the first 40 sentences of each passage, with the passage's title,
    all in one list.
    """
    spans_by_passage = [_sentence_spans(passage.text) for passage in passages]
    documents = [
        Document(passage.text[start:end], title=passage.title)
        for passage, spans in zip(passages, spans_by_passage, strict=True)
        for start, end in spans
    ]
    score_by_index = {r.index: r.score for r in reranker.rerank(query, documents).results}
    highlighted, scores, first = [], [], 0
    for passage, spans in zip(passages, spans_by_passage, strict=True):
        best = max(range(len(spans)), key=lambda i: (score_by_index[first + i], -i))
        highlighted.append(replace(passage, highlight=spans[best]))
        scores.append(score_by_index[first + best])
        first += len(spans)
    return highlighted, scores


def quote_highlights(
    passages: Sequence[Passage], scores: Sequence[float], *, max_sentences: int
) -> str:
    """Return the highlighted sentences, best first, each with the number of its passage."""
    order = sorted(range(len(passages)), key=lambda i: (-scores[i], i))[:max_sentences]
    lines = []
    for i in order:
        passage = passages[i]
        assert passage.highlight is not None
        start, end = passage.highlight
        lines.append(f"{' '.join(passage.text[start:end].split())} [{passage.number}]")
    return "\n".join(dict.fromkeys(lines))


def _sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the sentences that hold a letter or a digit, or the whole text if none does."""
    spans = [
        (start, end)
        for start, end in split_sentences(text)
        if any(character.isalnum() for character in text[start:end])
    ]
    return spans[:_MAX_SENTENCES_READ] if spans else [(0, len(text))]
