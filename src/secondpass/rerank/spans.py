"""Relevant spans: which sentences of a document answer the query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError, nearest
from secondpass.inference.unicode import clean
from secondpass.option_values import SPAN_UNITS
from secondpass.rerank.inputs import check_count, check_probability
from secondpass.rerank.score import Score, Scored, WindowScore
from secondpass.rerank.window_choice import rank_windows
from secondpass.sentences import split_sentences
from secondpass.types import Candidate, RankedDocument, ScoreKind, Span

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.rerank.scoring_options import ScoringOptions

# Sentences of one document differ less than documents do; with 2 the threshold of 0.1 has the
# best F1 on two collections (benchmarks/spans.py).
SHARPNESS = 2.0
"""How much a difference in log-odds counts."""

MAX_SENTENCES_READ = 40
"""How many sentences of one document a reranker without stored states reads."""

Sentences = Sequence[tuple[int, int]]
"""[start, end) of each sentence of one document in its text, in code points."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Which spans a result has.

    - `threshold`: the lowest `probability` of a span, 0 to 1; 0 for no limit.
    - `max_spans`: how many spans a result has at most, at least 1; None for no limit.
    - `max_results`: how many results have spans, the first ones, at least 1; None for all.
    - `unit`: what a span is: "sentence".

    Raises `InputError` for other values.
    """

    threshold: float = 0.1
    max_spans: int | None = 3
    unit: str = "sentence"
    max_results: int | None = None

    def __post_init__(self) -> None:
        if check_probability("threshold", self.threshold) is None:
            raise InputError("threshold must be a number from 0 to 1, not None")
        check_count("max_spans", self.max_spans)
        check_count("max_results", self.max_results)
        if self.unit not in SPAN_UNITS:
            raise InputError(
                f"A span cannot be a {self.unit!r}", fix=nearest(str(self.unit), SPAN_UNITS)
            )


def parse_spans(value: bool | Mapping[str, Any] | Spans) -> Spans | None:
    """Return the spans that are asked for: None for False, the defaults for True.

    Raises `InputError` for a value of another type, and for an unknown key of a mapping.
    """
    if isinstance(value, Spans):
        return value
    if isinstance(value, bool):
        return Spans() if value else None
    if not isinstance(value, Mapping):
        raise InputError(
            f"spans cannot be {value!r:.80}", fix="Pass True, False or Spans(threshold=…)."
        )
    known = asdict(Spans())
    for name in value:
        if name not in known:
            raise InputError(f"Spans have no {name!r}", fix=nearest(str(name), known))
    return Spans(**value)


def check_spans(reranker: BaseReranker, options: ScoringOptions) -> None:
    """Raise `InputError` where a reranker gives no spans, or not of the text alone."""
    if reranker.spans_from is None:
        raise InputError(
            "spans cannot be found",
            where=f"model {reranker.model}",
            why="it gives no log-odds for a single sentence",
            fix="Use the bundled model, another precomputed one or a cross-encoder, or leave "
            "spans out.",
        )
    if options.names[-1] != "text":
        raise InputError(
            "spans are sentences of the text, which is not the last field that is read",
            why=f"the fields are {', '.join(options.names)}",
            fix="Name 'text' last in fields or template, or leave spans out.",
        )


def best_window(
    windows: Sequence[WindowScore], text: str, options: ScoringOptions
) -> tuple[int, int] | None:
    """Return [start, end) of the best window in the text; None where it is not known."""
    # Windows are those of the cleaned text, in which a surrogate pair is one character.
    if not windows or options.names[-1] != "text" or len(clean(text)) != len(text):
        return None
    best = max(windows, key=lambda window: (window.value, -window.start))
    # A template may go on behind the text.
    end = min(best.end, len(text))
    return min(best.start, end), end


def add_spans(
    reranker: BaseReranker,
    query: str,
    candidates: Sequence[Candidate],
    results: Sequence[RankedDocument],
    options: ScoringOptions,
    spans: Spans,
) -> tuple[list[RankedDocument], Scored | None]:
    """Return the results with their spans, and the scores of all sentences, None for none.

    Results that were not scored, and those after `max_results`, have no spans. Copies of a text
    are scored once.
    """
    texts: dict[tuple[str, str], int] = {}
    searched = results[: spans.max_results]
    for result in searched:
        if result.scored:
            (text,) = options.texts([candidates[result.index]])
            texts.setdefault(text, result.index)
    found = [candidates[i] for i in texts.values()]
    sentences = [split_sentences(c.document.text) for c in found]
    if not any(sentences):
        return list(results), None
    scored = reranker.score_sentences(query, found, sentences, options)
    spans_of, first = {}, 0
    for text, document_sentences in zip(texts, sentences, strict=True):
        scores = scored.scores[first : first + len(document_sentences)]
        first += len(document_sentences)
        read = [
            (sentence, score.value)
            for sentence, score in zip(document_sentences, scores, strict=True)
            if score.scored
        ]
        spans_of[text] = _choose([s for s, _ in read], [v for _, v in read], spans)
    with_spans = []
    for result in searched:
        (text,) = options.texts([candidates[result.index]])
        chosen = spans_of.get(text, ()) if result.scored else ()
        with_spans.append(replace(result, spans=chosen))
    return [*with_spans, *results[len(with_spans) :]], scored


def _choose(sentences: Sentences, log_odds: Sequence[float], spans: Spans) -> tuple[Span, ...]:
    """Return the spans of one document, best first; ties go to the earlier sentence."""
    found = [
        Span(start, end, score, probability)
        for (start, end), score, probability in zip(
            sentences, log_odds, sentence_probabilities(log_odds), strict=True
        )
        if probability >= spans.threshold
    ]
    found.sort(key=lambda span: (-span.score, span.start))
    return tuple(found[: spans.max_spans])


def sentence_probabilities(log_odds: Sequence[float]) -> list[float]:
    """Return the probability that each sentence answers, if one of them does; their sum is 1.

    A softmax over the sentences of one document. The log-odds of sentences are hardly
    comparable across documents and queries, which is why the document's own are not part of it.
    """
    if not log_odds:
        return []
    best = max(log_odds)
    weights = [math.exp(SHARPNESS * (value - best)) for value in log_odds]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def read_sentences(
    reranker: BaseReranker,
    query: str,
    candidates: Sequence[Candidate],
    sentences: Sequence[Sentences],
    options: ScoringOptions,
) -> Scored:
    """Score sentences as documents of their own, each with the other fields of its document.

    Of a document with more than `MAX_SENTENCES_READ`, those are read that have the most of the
    query's words; `reason` has the number of the others.
    """
    readable: list[tuple[int, Candidate]] = []
    position = left_out = 0
    for candidate, spans in zip(candidates, sentences, strict=True):
        document = candidate.document
        texts = [document.text[start:end] for start, end in spans]
        chosen = rank_windows(query, texts)[:MAX_SENTENCES_READ]
        left_out += len(texts) - len(chosen)
        for i in sorted(chosen):
            one = replace(candidate, document=replace(document, text=texts[i]))
            readable.append((position + i, one))
        position += len(texts)
    scored = reranker.score(query, [one for _, one in readable], options)
    scores = [Score(0.0, windows=0, scored=False)] * position
    for (i, _), score in zip(readable, scored.scores, strict=True):
        scores[i] = score
    reason = scored.reason
    if left_out:
        skipped = f"{left_out} sentences were not read for spans"
        reason = skipped if reason is None else f"{reason}; {skipped}"
    assert scored.kind is ScoreKind.LOGIT
    return Scored(
        scores, ScoreKind.LOGIT, pairs=scored.pairs, tokens=scored.tokens, reason=reason
    )
