from __future__ import annotations

import pytest

from secondpass import Reranker, TextTooLongError
from secondpass.rerank.base import BaseReranker

QUERY = "Where is the spare key of the pump house kept?"
ANSWER = "The spare key of the pump house hangs behind the clock in the vestry."
SHORT = ["Soup is served on Fridays.", "The pump house was built in 1904 and repainted twice."]
NOISE = "Thank you for your letter of last week, which I read with care. "


def minutes(tokens: int) -> str:
    """About so many tokens that say nothing."""
    return "The committee met again in the small hall and agreed on nothing in particular. " * (
        tokens // 14
    )


@pytest.fixture(scope="module")
def reranker() -> BaseReranker:
    return Reranker()


def test_an_answer_at_the_end_of_a_long_document_is_read(reranker: BaseReranker) -> None:
    response = reranker.rerank(QUERY, [*SHORT, minutes(3500) + ANSWER])
    best = response.results[0]
    assert (best.index, best.unread, best.truncated) == (2, 0, False)
    assert best.windows > 10
    assert response.warnings == ()


def test_promising_windows_are_read_first_where_the_budget_is_small(
    reranker: BaseReranker,
) -> None:
    documents = [*SHORT, minutes(3500) + ANSWER, minutes(3500) + "Soup."]
    response = reranker.rerank(QUERY, documents, budget_tokens=1000)
    unread = {r.index: r.unread for r in response.results}
    assert response.results[0].index == 2
    assert unread[0] == unread[1] == 0 < unread[2]
    assert response.usage.truncated == 2
    assert response.usage.unread == unread[2] + unread[3]
    (warning,) = response.warnings
    assert warning.startswith("2 of 4 documents were not read whole")


def test_a_cap_on_documents_acts_and_is_told(reranker: BaseReranker) -> None:
    documents = [*SHORT, minutes(200) + ANSWER]
    assert reranker.rerank(QUERY, documents).results[0].index == 2
    capped = reranker.rerank(QUERY, documents, max_tokens_per_doc=32)
    assert capped.results[0].index == 1
    assert [r.unread > 0 for r in capped.results] == [r.index == 2 for r in capped.results]
    title = {"title": minutes(40), "text": ANSWER}
    assert reranker.rerank(QUERY, [title], max_tokens_per_doc=1).results[0].truncated


@pytest.mark.parametrize("query", [QUERY + NOISE * 100, NOISE * 100 + QUERY])
def test_a_long_query_is_read_at_both_ends(reranker: BaseReranker, query: str) -> None:
    response = reranker.rerank(query, [SHORT[0], ANSWER])
    assert response.results[0].index == 1
    assert response.query == query
    assert 0 < response.query_unread < len(query)
    (warning,) = response.warnings
    assert str(response.query_unread) in warning
    same = reranker.rerank(reranker.cut_query(query, None).text, [SHORT[0], ANSWER])
    assert same.query_unread == 0
    assert same.results[0].score == response.results[0].score


def test_a_cap_on_the_query_acts(reranker: BaseReranker) -> None:
    query = "the weather is fine " * 3 + QUERY
    whole, cut = (
        reranker.rerank(query, [ANSWER], max_query_tokens=limit) for limit in (None, 2)
    )
    assert whole.query_unread == 0 < cut.query_unread
    assert whole.results[0].score != cut.results[0].score


def test_what_would_be_cut_can_be_refused(reranker: BaseReranker) -> None:
    documents = ["Soup.", minutes(200) + ANSWER]
    assert reranker.rerank(QUERY, documents, truncate=False).results
    with pytest.raises(TextTooLongError, match="document 1 is too long"):
        reranker.rerank(QUERY, documents, truncate=False, max_tokens_per_doc=32)
    with pytest.raises(TextTooLongError, match="query is too long"):
        reranker.rerank(NOISE * 100, documents, truncate=False)


def test_scores_do_not_depend_on_other_documents_within_the_budget(
    reranker: BaseReranker,
) -> None:
    document = minutes(600) + ANSWER
    alone = reranker.rerank(QUERY, [document]).results[0]
    among = reranker.rerank(QUERY, [*SHORT, minutes(900), document]).results
    # Batches of other shapes round differently.
    (score,) = [r.score for r in among if r.index == 3]
    assert score == pytest.approx(alone.score, abs=1e-4)
