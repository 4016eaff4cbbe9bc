"""Rescoring: what a second model changes among the candidates that are ranked first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import (
    Candidate,
    Document,
    InputError,
    ModelError,
    Reranker,
    ScoreKind,
    Status,
)
from secondpass.composition import Composer
from secondpass.rerank.policies.blend import Blend
from secondpass.rerank.policies.rescore import Rescored, one_window
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from tests.rerank.simple import ByText, Probable


class Failing(ByText):
    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        raise ModelError("out of memory")


def documents(*texts: str) -> list[Document]:
    return [Document(text, id=text) for text in texts]


def test_the_first_are_read_again_and_only_they() -> None:
    first = ByText("first", a=3, b=2, c=1, d=-6)
    second = ByText("second", a=0, b=5, c=-5)
    found = Rescored(first, second, window=3, weight=5).rerank(
        "q", documents("d", "c", "b", "a"), top_k=2
    )
    assert second.asked == [["a", "b", "c"]]
    assert [r.id for r in found.results] == ["b", "a"]
    assert found.results[0].score_kind is ScoreKind.RANK
    # Both must score the whole window, not the top 2 alone.
    assert (first.top_k, second.top_k) == ([3], [None])
    assert found.usage.pairs == 7
    assert found.usage.tokens == 70


def test_parts_add_up_and_are_named() -> None:
    first, second = ByText("first", a=3, b=2, c=1), ByText("second", a=0, b=5, c=1)
    pool = [Candidate(d, bm25=i) for i, d in enumerate(documents("a", "b", "c"))]
    found = Rescored(Blend(first), second).rerank("q", pool)
    for result in found.results:
        assert math.isclose(math.fsum(result.parts.values()), result.score)
        assert result.parts.keys() == {"rerank", "bm25", "rescore"}
    lowest = next(r for r in found.results if r.id == "a")
    assert lowest.parts["rescore"] == 0


@pytest.mark.parametrize(("logit", "share"), [(-50, 1.0), (0, 2 / 3.5), (50, 0.4)])
def test_it_counts_less_where_many_candidates_are_likely(logit: float, share: float) -> None:
    told = {"a": logit, "b": logit, "c": logit}
    second = ByText("second", a=1, b=2, c=3)
    plain = Rescored(ByText("first", **told), second).rerank("q", documents("a", "b", "c"))
    found = Rescored(Probable("first", **told), second).rerank("q", documents("a", "b", "c"))
    for before, after in zip(plain.results, found.results, strict=True):
        assert after.id == before.id
        expected = share * before.parts["rescore"]
        assert math.isclose(after.parts["rescore"], expected, abs_tol=1e-9)


# Tenths: differences of rounding may tie once scores are standardized.
tenths = st.integers(-10_000, 10_000).map(lambda n: n / 10)
numbers = st.lists(st.tuples(tenths, tenths), min_size=1, max_size=15)


@given(numbers, st.integers(2, 20), st.floats(0.01, 10))
def test_what_was_not_read_stays_where_it_was(
    pairs: list[tuple[float, float]], window: int, weight: float
) -> None:
    texts = [f"t{i}" for i in range(len(pairs))]
    first = ByText("first", **{t: a for t, (a, _) in zip(texts, pairs, strict=True)})
    second = ByText("second", **{t: b for t, (_, b) in zip(texts, pairs, strict=True)})
    before = [r.id for r in first.rerank("q", documents(*texts)).results]
    rescored = Rescored(first, second, window=window, weight=weight)
    after = [r.id for r in rescored.rerank("q", documents(*texts)).results]
    assert set(before[:window]) == set(after[:window])
    assert before[window:] == after[window:]


def test_a_rescorer_of_no_opinion_changes_nothing() -> None:
    first, second = ByText("first", a=3, b=2, c=1), ByText("second", a=7, b=7, c=7)
    found = Rescored(first, second, weight=9).rerank("q", documents("c", "b", "a"))
    assert [r.id for r in found.results] == ["a", "b", "c"]


@pytest.mark.parametrize("texts", [["a"], ["a", "n"]])
def test_less_than_two_scores_are_passed_through(texts: list[str]) -> None:
    first, second = ByText("first", a=3, n=None), ByText("second", a=7, n=7)
    found = Rescored(first, second).rerank("q", documents(*texts))
    assert second.asked == []
    assert found.results[0].score == 3
    assert found.results[0].score_kind is ScoreKind.LOGIT


def test_what_the_rescorer_leaves_out_gains_nothing() -> None:
    first = ByText("first", a=3, b=2.9, c=-9)
    second = ByText("second", a=None, b=1, c=0)
    found = Rescored(first, second, weight=1).rerank("q", documents("a", "b", "c"))
    assert [r.id for r in found.results] == ["b", "a", "c"]
    assert found.results[1].parts["rescore"] == 0


def test_a_rescorer_that_fails_leaves_the_ranking() -> None:
    options = {"rescore": Failing("second"), "on_failure": "fallback"}
    composed = Composer().compose(ByText("first", a=1, b=2), options)
    found = composed.rerank("q", documents("a", "b"))
    assert [(r.id, r.score) for r in found.results] == [("b", 2), ("a", 1)]
    assert found.status is Status.RERANKED
    assert found.reason is not None
    assert "second" in found.reason
    assert "out of memory" in found.reason
    with pytest.raises(ModelError, match="out of memory"):
        Composer().compose(ByText("first", a=1, b=2), {"rescore": Failing("second")}).rerank(
            "q", documents("a", "b")
        )


def test_a_reranker_that_fails_is_not_rescored() -> None:
    second = ByText("second", a=1, b=2)
    options = {"rescore": second, "on_failure": "fallback"}
    found = Composer().compose(Failing("first"), options).rerank("q", documents("a", "b"))
    assert [r.id for r in found.results] == ["a", "b"]
    assert found.status is Status.FALLBACK
    assert second.asked == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rescore_window": 1}, "rescore_window"),
        ({"rescore_weight": 0}, "rescore_weight"),
        ({"rescore_weight": math.nan}, "rescore_weight"),
    ],
)
def test_numbers_that_mean_nothing(options: dict[str, float], message: str) -> None:
    first, second = ByText("first", a=1), ByText("second", a=1)
    with pytest.raises(InputError, match=message):
        Composer().compose(first, {"rescore": second, **options})


def test_both_models_are_asked_for_instructions() -> None:
    rescored = Rescored(ByText("first"), ByText("second"))
    assert rescored.models_without_instructions() == ("first", "second")
    named = rescored.map_base(lambda base: ByText(f"scheduled {base.model}"))
    assert named.models_without_instructions() == ("scheduled first", "scheduled second")


def test_the_order_of_candidates_does_not_matter() -> None:
    first, second = ByText("first", a=3, b=2, c=1), ByText("second", a=0, b=5, c=1)
    some = [replace(d, title="t") for d in documents("a", "b", "c")]
    there = Rescored(first, second).rerank("q", some)
    back = Rescored(first, second).rerank("q", some[::-1])
    assert [(r.id, r.score) for r in there.results] == [(r.id, r.score) for r in back.results]


def test_of_a_long_text_it_reads_the_window_with_the_words_of_the_query() -> None:
    filler = "The committee met again and agreed on nothing of importance. " * 40
    answer = "The plague reached England in June 1348 by ship. "
    texts = [filler + answer + filler, filler, "Ships sail from England."]
    query = "When did the plague reach England?"
    first, second = ByText("first", **dict.fromkeys(texts, 1)), Reranker("bundled-full")
    pool = [Candidate(Document(text)) for text in texts]
    found = Rescored(first, second).rerank(query, pool)
    assert found.results[0].index == 0
    # One window of each: of four or more there would be two halves of one as well.
    assert found.usage.pairs - len(texts) == len(texts)
    whole = second.rerank(query, [texts[0]])
    assert whole.usage.pairs > 2
    assert second.score(query, pool[:1], one_window(ScoringOptions())).scores[0].value > 0
