"""What every reranker promises, whatever its backend."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from secondpass import (
    BaseReranker,
    Candidate,
    Document,
    InputError,
    RerankResponse,
    ScoreKind,
    Spans,
    Status,
)
from secondpass.rerank.score import ScoringJob
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.sentences import split_sentences

QUERY = "How do I change my password?"
TEXTS = [
    "The sea is blue and the river is slow.",
    "To change the password, open the settings and choose a new one.",
    "Bread needs flour, water, salt and time.",
    "A lost password can be reset by mail.",
]


def indices(response: RerankResponse) -> list[int]:
    return [r.index for r in response.results]


def by_index(response: RerankResponse) -> list[float]:
    return [r.score for r in sorted(response.results, key=lambda r: r.index)]


def assert_ordered(response: RerankResponse) -> None:
    scores = [r.score for r in response.results]
    assert scores == sorted(scores, reverse=True)
    assert [r.rank for r in response.results] == list(range(1, len(scores) + 1))
    assert all(math.isfinite(s) for s in scores)


def test_results_are_a_permutation_ordered_by_score(reranker: BaseReranker) -> None:
    response = reranker.rerank(QUERY, TEXTS)
    assert sorted(indices(response)) == list(range(len(TEXTS)))
    assert_ordered(response)
    assert response.status is Status.RERANKED
    assert response.query == QUERY
    assert response.model
    assert response.usage.documents == len(TEXTS)
    assert response.usage.pairs >= len(TEXTS)
    # Some providers do not say how many tokens they read: that is 0, never a guess.
    assert response.usage.tokens > response.usage.pairs or not response.usage.tokens
    assert response.usage.tokens or response.usage.requests
    assert response.timings["total"] > 0


@pytest.mark.parametrize("top_k", [1, 2, 4, 99])
def test_top_k_is_a_prefix(reranker: BaseReranker, top_k: int) -> None:
    whole = reranker.rerank(QUERY, TEXTS).results[:top_k]
    some = reranker.rerank(QUERY, TEXTS, top_k=top_k).results
    assert [(r.index, r.rank) for r in some] == [(r.index, r.rank) for r in whole]
    # A policy may have read other texts beside them, in batches of other sizes.
    assert [r.score for r in some] == pytest.approx([r.score for r in whole], abs=1e-5)


def test_probabilities_are_probabilities_and_follow_the_logits(reranker: BaseReranker) -> None:
    response = reranker.rerank(QUERY, TEXTS)
    for result in response.results:
        assert result.probability is None or 0 <= result.probability <= 1
        if result.score_kind is ScoreKind.LOGIT:
            assert result.probability == pytest.approx(1 / (1 + math.exp(-result.score)))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1e9, 1e9])
def test_min_score_keeps_what_reaches_it(reranker: BaseReranker, threshold: float) -> None:
    whole = reranker.rerank(QUERY, TEXTS)
    kept = reranker.rerank(QUERY, TEXTS, min_score=threshold)
    assert kept.results == tuple(r for r in whole.results if r.score >= threshold)


def test_ids_documents_and_candidates_come_back(reranker: BaseReranker) -> None:
    documents = [Document(t, id=f"doc/{i} é", metadata={"n": i}) for i, t in enumerate(TEXTS)]
    candidates = [Candidate(d, score=9.0 - i, rank=i + 5) for i, d in enumerate(documents)]
    for result in reranker.rerank(QUERY, candidates).results:
        assert result.document is documents[result.index]
        assert result.id == documents[result.index].id
        assert result.first_stage_rank == result.index + 5
        assert result.first_stage.score == 9.0 - result.index
    for result in reranker.rerank(QUERY, documents, return_documents=False).results:
        assert result.document is None
        assert result.id == documents[result.index].id
        assert result.first_stage_rank == result.index + 1


def test_every_shape_of_document_scores_alike(reranker: BaseReranker) -> None:
    shapes: list[Sequence[object]] = [
        TEXTS,
        [{"text": t} for t in TEXTS],
        [{"_id": str(i), "text": t, "year": 2000} for i, t in enumerate(TEXTS)],
        [Document(t) for t in TEXTS],
        [Candidate(Document(t)) for t in TEXTS],
    ]
    expected = by_index(reranker.rerank(QUERY, TEXTS))
    for documents in shapes:
        assert by_index(reranker.rerank(QUERY, documents)) == expected  # type: ignore[arg-type]


def test_ties_stand_in_first_stage_order(
    reranker: BaseReranker, separates_copies: bool
) -> None:
    response = reranker.rerank(QUERY, [TEXTS[1]] * 5)
    assert indices(response) == [0, 1, 2, 3, 4]
    if not separates_copies:
        assert len({r.score for r in response.results}) == 1
    backwards = [Candidate(Document(TEXTS[1]), rank=9 - i) for i in range(5)]
    assert indices(reranker.rerank(QUERY, backwards)) == [4, 3, 2, 1, 0]
    named = [Candidate(Document(TEXTS[1], id=i), rank=1) for i in "cab"]
    assert [r.id for r in reranker.rerank(QUERY, named).results] == ["a", "b", "c"]


def test_a_score_does_not_depend_on_the_batch(
    reranker: BaseReranker, passages: list[str]
) -> None:
    query = "Which country was hit by an embargo?"
    together = reranker.rerank(query, passages)
    assert_ordered(together)
    found = {r.index: r for r in together.results}
    for target in (3, 20):
        text = passages[target]
        others = [p for i, p in enumerate(passages) if i != target]
        alone = reranker.rerank(query, [text]).results[0]
        first = next(r for r in reranker.rerank(query, [text, *others]).results if not r.index)
        last = next(r for r in reranker.rerank(query, [*others, text]).results if r.index == 31)
        for other in (first, last, found[target]):
            assert other.probability == pytest.approx(alone.probability, abs=1e-3)
    # With their ranks, so that ties stand as they did.
    shuffled = [Candidate(Document(passages[i]), rank=i + 1) for i in range(31, -1, -1)]
    backwards = reranker.rerank(query, shuffled)
    assert [31 - r.index for r in backwards.results] == indices(together)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "👩‍👩‍👧‍👦 🚀",
        "日本語のパスワードを変更する",
        "تغيير كلمة المرور",
        "lone \ud800 surrogate \udfff",
        "nul \x00 and bell \x07",
        "e\u0301 combining, \u200b zero width, \ufeff mark",
        "a" * 5000,
    ],
)
def test_unusual_text_is_ranked_like_any_other(reranker: BaseReranker, text: str) -> None:
    response = reranker.rerank(QUERY, [text, TEXTS[1]])
    assert sorted(indices(response)) == [0, 1]
    assert_ordered(response)
    returned = next(r for r in response.results if r.index == 0).document
    assert returned is not None
    assert returned.text == text
    assert reranker.rerank(text if text.strip() else "x", TEXTS[:2]).results


def test_ten_megabytes_are_read_in_part_and_that_is_said(reranker: BaseReranker) -> None:
    huge = "water bread sky river storm " * 375_000
    response = reranker.rerank(QUERY, [huge, TEXTS[1]])
    result = next(r for r in response.results if r.index == 0)
    assert result.truncated
    assert 0 < result.unread < len(huge)
    assert response.usage.truncated == 1
    assert not next(r for r in response.results if r.index == 1).truncated


def test_a_thousand_candidates(reranker: BaseReranker) -> None:
    documents = [f"{TEXTS[i % 4]} {i}" for i in range(1000)]
    response = reranker.rerank(QUERY, documents)
    assert sorted(indices(response)) == list(range(1000))
    assert_ordered(response)


def test_queries_scored_together_score_as_they_do_alone(
    reranker: BaseReranker, passages: list[str]
) -> None:
    asked = [
        ScoringJob(query, [Candidate(Document(text)) for text in texts], ScoringOptions())
        for query, texts in (
            (QUERY, passages[:4]),
            ("another question", passages[2:7]),
            (QUERY, [passages[0], passages[0]]),
        )
    ]
    alone = [reranker.score(*one) for one in asked]
    together = reranker.score_batch(asked)
    for one, other in zip(alone, together, strict=True):
        assert [s.value for s in one.scores] == pytest.approx(
            [s.value for s in other.scores], abs=5e-3
        )
        assert one.kind == other.kind
    assert reranker.score_batch([]) == []


def test_spans_are_sentences_of_the_text_or_refused(
    reranker: BaseReranker, passages: list[str]
) -> None:
    every = Spans(threshold=0, max_spans=None)
    if reranker.spans_from is None:
        with pytest.raises(InputError, match="spans cannot be found"):
            reranker.rerank(QUERY, TEXTS, spans=every)
        return
    texts = ["", *TEXTS, *passages[20:24]]
    query = "Which country was hit by an embargo?"
    results = reranker.rerank(query, texts, spans=every).results
    for result in results:
        text, spans = texts[result.index], result.spans
        assert {s[:2] for s in spans} <= set(split_sentences(text))
        assert [s.score for s in spans] == sorted((s.score for s in spans), reverse=True)
        assert all(0 <= s.probability <= 1 for s in spans)
        ordered = sorted(spans)
        assert all(a.end <= b.start for a, b in pairwise(ordered))
        (alone,) = reranker.rerank(query, [text], spans=every).results
        assert sorted(s[:2] for s in alone.spans) == [s[:2] for s in ordered]
        assert [s.score for s in sorted(alone.spans)] == pytest.approx(
            [s.score for s in ordered], abs=5e-3
        )
    assert any(len(result.spans) > 1 for result in results)
    few = reranker.rerank(query, texts, spans=replace(every, max_results=3)).results
    assert [r.index for r in few] == [r.index for r in results]
    assert [[s[:2] for s in r.spans] for r in few[:3]] == [
        [s[:2] for s in r.spans] for r in results[:3]
    ]
    assert all(r.spans == () for r in few[3:])
    (first,) = reranker.rerank(query, texts, spans={"max_spans": 1}, top_k=1).results
    assert len(first.spans) <= 1


def test_an_empty_list_is_skipped_and_says_so(reranker: BaseReranker) -> None:
    response = reranker.rerank(QUERY, [])
    assert response.results == ()
    assert response.status is Status.SKIPPED
    assert response.reason


def test_one_document(reranker: BaseReranker) -> None:
    assert indices(reranker.rerank(QUERY, [TEXTS[0]])) == [0]


def test_eight_threads_agree(reranker: BaseReranker, passages: list[str]) -> None:
    queries = [f"{QUERY} {i}" for i in range(8)]
    expected = [reranker.rerank(q, passages[:6]).results for q in queries]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = pool.map(lambda q: reranker.rerank(q, passages[:6]).results, queries)
            assert list(found) == expected


async def test_async_equals_sync(reranker: BaseReranker) -> None:
    # What a backend keeps of documents is no cost of the second call: it must be kept now.
    reranker.rerank(QUERY, TEXTS, passages="mean")
    sync = reranker.rerank(QUERY, TEXTS, top_k=2, min_score=-50.0, passages="mean")
    found = await reranker.arerank(QUERY, TEXTS, top_k=2, min_score=-50.0, passages="mean")
    assert found.results == sync.results
    assert found.usage == sync.usage


def test_the_callers_objects_are_untouched(reranker: BaseReranker) -> None:
    documents = [{"id": "a", "text": TEXTS[0], "tags": ["x"]}, {"text": TEXTS[1], "year": 3}]
    before = copy.deepcopy(documents)
    reranker.rerank(QUERY, documents, fields=["tags", "year", "text"])
    assert documents == before


@pytest.mark.parametrize(
    ("query", "documents", "options", "message"),
    [
        ("", TEXTS, {}, "empty"),
        (" \t", TEXTS, {}, "empty"),
        (None, TEXTS, {}, "must be text"),
        (QUERY, None, {}, "must be a list"),
        (QUERY, "one text", {}, "must be a list"),
        (QUERY, [TEXTS[0], None], {}, "Document 1 is None"),
        (QUERY, [TEXTS[0], 7], {}, "Document 1 is a int"),
        (QUERY, [{"title": "no text"}], {}, "Document 0 has no 'text'"),
        (QUERY, [{"text": None}], {}, "Document 0 has text"),
        (QUERY, [Candidate(Document("x"), score=math.nan)], {}, "Candidate 0"),
        (QUERY, TEXTS, {"top_k": 0}, "top_k"),
        (QUERY, TEXTS, {"top_k": -1}, "top_k"),
        (QUERY, TEXTS, {"top_k": 1.5}, "top_k"),
        (QUERY, TEXTS, {"top_k": True}, "top_k"),
        (QUERY, TEXTS, {"min_score": "high"}, "min_score"),
        (QUERY, TEXTS, {"min_score": math.nan}, "min_score"),
        (QUERY, TEXTS, {"passages": "maximum"}, "Did you mean 'max'"),
        (QUERY, TEXTS, {"fields": "text"}, "fields"),
        (QUERY, TEXTS, {"fields": []}, "fields"),
        (QUERY, TEXTS, {"max_length": 0}, "max_length"),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    reranker: BaseReranker, query: object, documents: object, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        reranker.rerank(query, documents, **options)  # type: ignore[arg-type]
