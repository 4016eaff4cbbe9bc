"""Sentences and highlighted spans of an explanation, for the terminal and HTML alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from secondpass.explain.types import (
    Counterfactual,
    Explanation,
    Faithfulness,
    Span,
    StageRanks,
)
from secondpass.retrieve.bm25 import TermScore


def headline(explanation: Explanation) -> str:
    """Return in one sentence the document's rank and which stage changed it most."""
    ranks = explanation.places
    probability = _probability(explanation)
    if ranks is None:
        return f"{explanation.model} scores it {explanation.score:.2f}{probability}."
    rank = f"{ordinal(ranks.final)} of {ranks.candidates}{probability}"
    if not explanation.found:
        return (
            f"The first pass did not retrieve it. If it had, it would rank {rank}: "
            f"{describe_rank_change(ranks)}."
        )
    return f"It ranks {rank}: {describe_rank_change(ranks)}."


def describe_rank_change(ranks: StageRanks) -> str:
    """Return how the second pass changed a document's rank."""
    by_reranker = f"{ordinal(ranks.reranker)} by the reranker alone"
    if ranks.first is None:
        return by_reranker
    change = ranks.first - ranks.final
    if change == 0:
        return f"unchanged from the first pass, {by_reranker}"
    verb = "raised" if change > 0 else "lowered"
    return f"{verb} from {ordinal(ranks.first)} in the first pass, {by_reranker}"


def describe_faithfulness(check: Faithfulness) -> str:
    """Return whether the spans with the largest contributions really matter."""
    share = f"{check.removed} of {check.words} words"
    verdict = "the contributions hold" if check.holds else "do not rely on the contributions"
    return (
        f"Without the top spans ({share}) the score falls by {check.drop:.2f}, without random "
        f"others of the same size by {check.random:.2f} on average ({check.random_low:.2f} to "
        f"{check.random_high:.2f}): {verdict}."
    )


def describe_counterfactual(counterfactual: Counterfactual, current_rank: int) -> str:
    """Return the rank that the document would have after a change."""
    still = "still " if counterfactual.rank == current_rank else ""
    return f"would {still}be {ordinal(counterfactual.rank)} {counterfactual.change}"


def ordinal(rank: int) -> str:
    """Return a rank as an English ordinal: 1st, 2nd, 11th."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{rank}{'th' if rank % 100 in (11, 12, 13) else endings.get(rank % 10, 'th')}"


class StageRow(NamedTuple):
    """The rank and the score that a stage gives, and what it adds to the final score."""

    name: str
    rank: str
    score: str
    added: str


def stage_rows(explanation: Explanation) -> list[StageRow]:
    """Return the rows of the table of stages; none without an index."""
    ranks = explanation.places
    if ranks is None:
        return []
    rows: list[StageRow] = []
    stages: list[tuple[str, int | None, float | None, str]] = [
        ("BM25", ranks.bm25, explanation.bm25, "bm25"),
        ("cosine", ranks.vector, explanation.vector, "vector"),
        ("first pass", ranks.first, None, ""),
        ("reranker", ranks.reranker, explanation.score, "rerank"),
        ("result", ranks.final, explanation.final_score, ""),
    ]
    blended = {"rescore", *(part for *_, part in stages)}
    for name, rank, score, part in stages:
        if name == "result":
            if "rescore" in explanation.parts:
                added = _in_sum(explanation.parts["rescore"])
                rows.append(StageRow(f"rescored by {explanation.rescorer}", "", "", added))
            rows += [
                StageRow(f"boost {rule}", "", "", _in_sum(value))
                for rule, value in explanation.parts.items()
                if rule not in blended
            ]
        rows.append(
            StageRow(
                name,
                "not retrieved" if rank is None else ordinal(rank),
                "" if score is None else f"{score:.3f}",
                _in_sum(explanation.parts.get(part)),
            )
        )
    return rows


def _in_sum(added: float | None) -> str:
    return "" if added is None else f"{added:+.2f} in the sum"


def term_label(term: TermScore) -> str:
    """Return a query term, with how often it occurs if that is more than once."""
    return f"{term.word} \u00d7{term.count}" if term.count > 1 else term.word


def term_note(term: TermScore) -> str:
    """Return why a query term adds nothing to BM25, or ""."""
    if not term.indexed:
        return "a stop word, or in no text"
    return "" if term.score > 0 else "not in this text"


def _probability(explanation: Explanation) -> str:
    if explanation.probability is None:
        return ""
    return f", with a probability of {explanation.probability:.2f}"


def mark_answers(explanation: Explanation) -> list[tuple[str, bool]]:
    """Return the whole text in pieces, each with whether it is a sentence that answers."""
    text, pieces, position = explanation.document.text, [], 0
    for start, end, *_ in sorted(explanation.answers):
        pieces += [(text[position:start], False), (text[start:end], True)]
        position = end
    return [*pieces, (text[position:], False)]


class HighlightedSpan(NamedTuple):
    """A piece of a text; `strength` is -1 (lowers the score most) to 1 (raises it most)."""

    text: str
    strength: float


def highlight_spans(text: str, field: str, spans: Sequence[Span]) -> list[HighlightedSpan]:
    """Return the whole text in pieces: words where they are known, else sentences.

    Words and sentences have scales of their own, since a sentence adds more than any of
    its words.
    """
    in_field = [s for s in spans if s.where == field]
    words = [s for s in in_field if s.level == "word"]
    sentences = [
        s
        for s in in_field
        if s.level == "sentence"
        and not any(s.start <= word.start and word.end <= s.end for word in words)
    ]
    pieces, position = [], 0
    for span in sorted([*words, *sentences], key=lambda s: s.start):
        if span.start > position:
            pieces.append(HighlightedSpan(text[position : span.start], 0.0))
        largest = max(abs(s.contribution) for s in spans if s.level == span.level)
        strength = span.contribution / largest if largest > 0 else 0.0
        pieces.append(HighlightedSpan(text[span.start : span.end], strength))
        position = span.end
    if position < len(text):
        pieces.append(HighlightedSpan(text[position:], 0.0))
    return pieces
