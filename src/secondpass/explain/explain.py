"""Building an explanation of one document for one query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from secondpass.boost_rules import BoostLike, parse_boosts
from secondpass.composition import Composer
from secondpass.errors import InputError
from secondpass.explain.counterfactual import (
    BlendOption,
    KnownScores,
    RememberedScores,
    ScoredCandidates,
    find_counterfactuals,
    rank_known_scores,
    stage_ranks,
)
from secondpass.explain.occlusion import (
    check_faithfulness,
    document_spans,
    query_spans,
    variant_scorer,
)
from secondpass.explain.types import Explanation, Faithfulness, Match, ScoredWindow, Span
from secondpass.index.search import Search
from secondpass.option_values import (
    RESCORE_AUTO,
    RESCORE_WEIGHT,
    RESCORE_WINDOW,
)
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import (
    DocumentLike,
    check_fields,
    check_query,
    to_candidates,
)
from secondpass.rerank.score import Score
from secondpass.rerank.scoring_options import ScoringOptions, field_text
from secondpass.retrieve.bm25 import Analyzer, TermScore, fit_bm25
from secondpass.retrieve.keywords import find_keywords
from secondpass.retrieve.store_protocol import searchable
from secondpass.types import Candidate, Document, ScoreKind
from secondpass.types import Span as AnswerSpan

_TOO_SHORT = "The text is too short to check the contributions of its spans."
_NOT_RETRIEVED_RANK = 1_000_000


def explain(
    index: Search,
    query: str,
    document: str,
    *,
    rerank: str | Path | BaseReranker | Literal[True] = True,
    mode: str = "hybrid",
    candidates: int = 50,
    blend: BlendOption = True,
    boost: Sequence[BoostLike] = (),
    rescore: str | Path | BaseReranker | None = RESCORE_AUTO,
    rescore_window: int = RESCORE_WINDOW,
    rescore_weight: float = RESCORE_WEIGHT,
    fields: Sequence[str] | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain the rank of a document of an index, or of another source, for a query.

    `document` is the id of a document, of which the best passage is explained, or else of a
    passage. The other arguments are those of `Index.search`; groups, pins and diversity are
    left out. Where a model rescores, `parts` has what it adds, and it reads changed documents,
    too; the contributions of words are those to the first reranker's score. `seed` is for the
    random spans that the top ones are compared with. With `fields`, the explanation has the
    rank that the document would have without each of them. Over a database, only a candidate
    can be explained, and what each word adds to its keyword score is not known. Raises
    `InputError` for an id that the index does not have, or that is not among the candidates,
    and a field that no candidate has.
    """
    query = check_query(query)
    options = ScoringOptions(check_fields(fields))
    reranker = index.reranker(rerank)
    rules, composer = parse_boosts(boost), Composer()
    second = index.rescorer(query, rerank=rerank, blend=blend, rescore=rescore)
    rescorer = None if second is None else RememberedScores(second, options.fields)

    def policies(known: BaseReranker) -> BaseReranker:
        chosen = {
            "blend": blend,
            "boost": rules,
            "rescore": rescorer,
            "rescore_window": rescore_window,
            "rescore_weight": rescore_weight,
        }
        known_fields = (index.fields or None) if rules else None
        return composer.compose(
            known, chosen, matches=index.matching, known_fields=known_fields
        )

    considered = index.first_pass(query, mode=mode, candidates=candidates)
    # By key: the passage of one document may have the id of another document.
    if index.keeps_passages:
        keys = {passage.key for passage in index.passages_of(document)}
    else:
        keys = _keys_of(document, considered)
    found = any(c.document.key in keys for c in considered)
    if not found:
        considered += _fetch_passages(index, query, document)
    options.check([c.document for c in considered])
    scored = reranker.score(query, considered, options)
    _check_score_kind(reranker, scored.kind)
    results = rank_known_scores(query, considered, KnownScores(reranker, scored), policies)
    result = next(r for r in results if considered[r.index].document.key in keys)
    target = result.index
    candidate, score = considered[target], scored.scores[target]
    notes = []
    passages = sum(c.document.key in keys for c in considered)
    if passages > 1:
        notes.append(f"{passages} passages of {document!r} were considered; this is the best.")
    texts = [searchable(c.document.title, c.document.text) for c in considered]
    known_terms = index.term_scores(query, [c.document for c in considered])
    terms = [[] for _ in considered] if known_terms is None else known_terms
    bm25 = None if known_terms is None else fit_bm25(index.language, texts, terms)
    if known_terms is None and candidate.bm25:
        notes.append("What each word adds to the keyword score is not known of this source.")
    if bm25 is None and candidate.bm25:
        notes.append(
            "The BM25 score of a changed text is not known here: changes keep the old one."
        )
    score_variants = variant_scorer(reranker, query, options)
    spans, faithfulness, span_notes = _explain_text(
        reranker, query, candidate.document, score, options, seed
    )
    ranking = ScoredCandidates(
        query, considered, target, reranker, scored, policies, index.embedder, bm25
    )
    in_document = [span for span in spans if span.where != "query"]
    return Explanation(
        query=query,
        document=candidate.document,
        model=reranker.model,
        found=found,
        score=score.value,
        score_kind=str(scored.kind),
        probability=score.probability,
        final_score=result.score,
        places=stage_ranks(considered, scored, target, result.rank, found),
        bm25=candidate.bm25,
        vector=candidate.vector,
        terms=tuple(terms[target]),
        parts=dict(result.parts),
        windows=_windows(score),
        spans=tuple(spans),
        faithfulness=faithfulness,
        counterfactuals=tuple(
            find_counterfactuals(ranking, in_document, score_variants, options.fields)
        ),
        notes=(*notes, *span_notes),
        rescorer=None if rescorer is None else rescorer.model,
        matches=tuple(_find_matches(index.language, candidate.document, terms[target])),
        answers=_find_answers(reranker, query, candidate, options),
    )


def explain_text(
    reranker: BaseReranker,
    query: str,
    document: DocumentLike,
    *,
    fields: Sequence[str] | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain a reranker's score of one document, without an index."""
    query = check_query(query)
    options = ScoringOptions(check_fields(fields))
    (candidate,) = to_candidates([document], text_needed=fields is None)
    options.check([candidate.document])
    scored = reranker.score(query, [candidate], options)
    _check_score_kind(reranker, scored.kind)
    score = scored.scores[0]
    spans, faithfulness, notes = _explain_text(
        reranker, query, candidate.document, score, options, seed
    )
    return Explanation(
        query=query,
        document=candidate.document,
        model=reranker.model,
        found=None,
        score=score.value,
        score_kind=str(scored.kind),
        probability=score.probability,
        final_score=score.value,
        windows=_windows(score),
        spans=tuple(spans),
        faithfulness=faithfulness,
        notes=tuple(notes),
        answers=_find_answers(reranker, query, candidate, options),
    )


def _find_answers(
    reranker: BaseReranker, query: str, candidate: Candidate, options: ScoringOptions
) -> tuple[AnswerSpan, ...]:
    """Return the sentences that answer; () where the reranker gives none for these fields."""
    if reranker.spans_from is None or options.names[-1] != "text":
        return ()
    fields = options.fields
    if fields is not None:
        # Another candidate may have a field that this document lacks.
        fields = tuple(n for n in fields if field_text(candidate.document, n) is not None)
        if not fields:
            return ()
    response = reranker.rerank(query, [candidate], fields=fields, spans=True)
    return response.results[0].spans


def _explain_text(
    reranker: BaseReranker,
    query: str,
    document: Document,
    score: Score,
    options: ScoringOptions,
    seed: int,
) -> tuple[list[Span], Faithfulness | None, list[str]]:
    """Return the contributions of spans, whether they hold, and notes on what is missing."""
    score_variants, fields = variant_scorer(reranker, query, options), options.names
    spans = document_spans(document, score.value, score_variants, fields)
    faithfulness = check_faithfulness(
        document, spans, score.value, score_variants, fields=fields, seed=seed
    )
    notes = []
    other_fields = [name for name in fields if name not in ("title", "text")]
    if other_fields:
        notes.append(
            f"Contributions of words are of title and text only, not of"
            f" {', '.join(other_fields)}."
        )
    if faithfulness is None:
        notes.append(_TOO_SHORT)
    in_query = query_spans(reranker, query, document, score.value, options)
    return [*in_query, *spans], faithfulness, notes


def _keys_of(document: str, candidates: Sequence[Candidate]) -> set[str]:
    """Return the keys of the candidates of this document, or else of the one of this id."""
    documents = [c.document for c in candidates]
    of_document = {d.key for d in documents if d.document_id == document}
    return of_document or {d.key for d in documents if document in (d.id, d.key)}


def _fetch_passages(index: Search, query: str, document: str) -> list[Candidate]:
    """Return the passages of a document that the first pass did not retrieve."""
    if not index.keeps_passages:
        raise InputError(
            f"{document!r} is not among the candidates",
            why="documents of this source cannot be asked for by id",
            fix="Raise the number of candidates, or give an id as a search prints it.",
        )
    candidates = index.score_passages_of(query, document)
    if not candidates:
        raise InputError(
            f"There is no document {document!r}",
            where=index.name,
            fix="Give an id as a search prints it, such as the first in brackets.",
        )
    return [replace(candidate, rank=_NOT_RETRIEVED_RANK) for candidate in candidates]


def _find_matches(
    language: str, document: Document, terms: Sequence[TermScore]
) -> Iterator[Match]:
    """Yield where the words of the query stand in a document, after stemming."""
    words = [term.word for term in terms if term.score > 0]
    if not words:
        return
    texts = {"title": document.title or "", "text": document.text}
    analyzer = Analyzer(language, texts.values(), words)
    for where, text in texts.items():
        for found in find_keywords(text):
            for word in words:
                if found.text in analyzer.matches[word]:
                    start, end = found.start, found.end
                    yield Match(word, where, start, end, text[start:end])


def _windows(score: Score) -> tuple[ScoredWindow, ...]:
    return tuple(ScoredWindow(w.start, w.end, w.value) for w in score.window_scores)


def _check_score_kind(reranker: BaseReranker, kind: ScoreKind) -> None:
    if kind is ScoreKind.RANK:
        raise InputError(
            "These scores cannot be explained",
            where=f"model {reranker.model}",
            why="they are comparable within one list only",
            fix="Explain the reranker inside.",
        )
