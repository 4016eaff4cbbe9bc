"""Put an explanation together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError
from secondpass.explain.counterfactual import (
    KnownScores,
    Standing,
    Weights,
    counterfactuals,
    order,
    places,
)
from secondpass.explain.occlusion import document_spans, faithfulness, query_spans, scorer
from secondpass.explain.types import Explanation, ReadWindow
from secondpass.index.index import Index
from secondpass.rerank.base import BaseReranker, Score
from secondpass.rerank.inputs import (
    DocumentLike,
    check_fields,
    check_query,
    to_candidates,
)
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.bm25 import fit_bm25, term_scores
from secondpass.retrieve.store_protocol import searchable
from secondpass.types import Candidate, Document, ScoreKind

_SHORT = "The text is too short to check the contributions of its spans."


def explain(
    index: Index,
    query: str,
    document: str,
    *,
    rerank: str | Path | BaseReranker | Literal[True] = True,
    mode: str = "hybrid",
    candidates: int = 50,
    blend: Weights = True,
    fields: Sequence[str] | None = None,
    seed: int = 0,
) -> Explanation:
    """Return why a document of an index is where it is for a query.

    `document` is the id of a passage or of a whole document, of which the passage that
    stands best is explained. The other arguments are those of `Index.search`; `seed` is for
    the random spans that the top ones are compared with. With `fields`, the explanation
    says where the document would stand without each of them. Raises `InputError` for an id
    that the index does not have, and a field that no candidate has.
    """
    query = check_query(query)
    reading = ScoringOptions(check_fields(fields))
    reranker = index.reranker(rerank)
    listed = index.first_pass(query, mode=mode, candidates=candidates)
    found = any(_is(c.document, document) for c in listed)
    if not found:
        listed += _fetched(index, query, document)
    reading.check([c.document for c in listed])
    scored = reranker.score(query, listed, reading)
    _check(reranker, scored.kind)
    known = KnownScores(reranker, scored)
    results = order(query, listed, known, blend)
    result = next(r for r in results if _is(listed[r.index].document, document))
    target = result.index
    candidate, score = listed[target], scored.scores[target]
    explained = candidate.document
    notes = []
    several = sum(_is(c.document, document) for c in listed)
    if several > 1:
        notes.append(f"{several} passages of {document!r} were considered; this one is best.")
    texts = [searchable(c.document.title, c.document.text) for c in listed]
    names = [_id(c) for c in listed]
    terms = term_scores(index.store, query, names)
    by_word = [terms[name] for name in names]
    model = fit_bm25(index.store.settings.language, texts, by_word)
    if model is None and candidate.bm25:
        notes.append("The BM25 of a changed text is not known here: changes leave it as it is.")
    scores = scorer(reranker, query, reading)
    spans = document_spans(explained, score.value, scores, reading.names)
    standing = Standing(query, listed, target, reranker, scored, blend, index.embedder, model)
    notes += _untold(reading)
    trust = faithfulness(explained, spans, score.value, scores, names=reading.names, seed=seed)
    if trust is None:
        notes.append(_SHORT)
    return Explanation(
        query=query,
        document=explained,
        model=reranker.model,
        found=found,
        score=score.value,
        score_kind=str(scored.kind),
        probability=score.probability,
        final_score=result.score,
        places=places(listed, scored, target, result.rank, found),
        bm25=candidate.bm25,
        vector=candidate.vector,
        terms=tuple(by_word[target]),
        parts=dict(result.parts),
        windows=_windows(score),
        spans=(
            *query_spans(reranker, query, explained, score.value, reading),
            *spans,
        ),
        faithfulness=trust,
        counterfactuals=tuple(counterfactuals(standing, spans, scores, reading.fields)),
        notes=tuple(notes),
    )


def explain_text(
    reranker: BaseReranker,
    query: str,
    document: DocumentLike,
    *,
    fields: Sequence[str] | None = None,
    seed: int = 0,
) -> Explanation:
    """Return what a reranker's score of one document is made of, without an index."""
    query = check_query(query)
    reading = ScoringOptions(check_fields(fields))
    (candidate,) = to_candidates([document], text_needed=fields is None)
    reading.check([candidate.document])
    scored = reranker.score(query, [candidate], reading)
    _check(reranker, scored.kind)
    score = scored.scores[0]
    scores = scorer(reranker, query, reading)
    spans = document_spans(candidate.document, score.value, scores, reading.names)
    trust = faithfulness(
        candidate.document, spans, score.value, scores, names=reading.names, seed=seed
    )
    notes = [*_untold(reading), *([_SHORT] if trust is None else [])]
    asked = query_spans(reranker, query, candidate.document, score.value, reading)
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
        spans=(*asked, *spans),
        faithfulness=trust,
        notes=tuple(notes),
    )


def _untold(reading: ScoringOptions) -> list[str]:
    """Return a note on fields that are read, and whose words are not told one by one."""
    others = [name for name in reading.names if name not in ("title", "text")]
    if not others:
        return []
    return [f"What the words of {', '.join(others)} add is not told, only of title and text."]


def _fetched(index: Index, query: str, document: str) -> list[Candidate]:
    """Return the passages of a document that the first pass did not hand over."""
    hits = index.store.passages(document)
    if not hits:
        raise InputError(
            f"There is no document {document!r}",
            where=str(index.store.folder),
            fix="Give an id as a search prints it, such as the first in brackets.",
        )
    names = [hit.id for hit in hits]
    bm25 = {hit.id: hit.score for hit in index.store.bm25(query, len(names), ids=names)}
    question = index.embedder.encode([query])[0].astype(np.float64)
    return [
        Candidate(
            hit.document,
            rank=1_000_000,
            bm25=bm25.get(hit.id, 0.0),
            vector=None if hit.embedding is None else _cosine(question, hit.embedding),
        )
        for hit in hits
    ]


def _cosine(a: NDArray[np.float64], b: NDArray[np.float32]) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 0.0 if length == 0 else float(a @ b) / length


def _is(document: Document, wanted: str) -> bool:
    return wanted in (document.id, document.metadata.get("document_id"))


def _id(candidate: Candidate) -> str:
    return "" if candidate.document.id is None else candidate.document.id


def _windows(score: Score) -> tuple[ReadWindow, ...]:
    seen: Sequence[ReadWindow] = [
        ReadWindow(w.start, w.end, w.value) for w in score.window_scores
    ]
    return tuple(seen)


def _check(reranker: BaseReranker, kind: ScoreKind) -> None:
    if kind is ScoreKind.RANK:
        raise InputError(
            "These scores cannot be explained",
            where=f"model {reranker.model}",
            why="they mean something within one list only",
            fix="Explain the reranker inside.",
        )
