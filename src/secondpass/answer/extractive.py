"""Extractive answers: the best sentences of the passages, without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondpass.answer.citations import find_citations
from secondpass.answer.types import Answer, AnswerStatus, Passage
from secondpass.rerank.base import BaseReranker
from secondpass.sentences import split_sentences
from secondpass.types import Document

_MAX_SENTENCES_READ = 40
_MAX_SENTENCES_QUOTED = 3


def extract_answer(draft: Answer, reranker: BaseReranker | None = None) -> Answer:
    """Return an answer with the best sentences of its passages as its text.

    The reranker (the bundled one by default) scores the sentences for the query. The
    passages of the answer have their best sentence as `highlight`.
    """
    if reranker is None:
        from secondpass.reranker import Reranker

        reranker = Reranker()
    passages, scores = highlight_passages(draft.query, draft.passages, reranker)
    text = quote_highlights(passages, scores, max_sentences=_MAX_SENTENCES_QUOTED)
    return replace(
        draft,
        text=text,
        status=AnswerStatus.EXTRACTIVE,
        citations=tuple(find_citations(text, passages)),
        passages=tuple(passages),
        model=reranker.model,
    )


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
