"""Policies that leave candidates out: what holds of every one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import (
    BaseReranker,
    Candidate,
    Document,
    InputError,
    Reranker,
    RerankResponse,
    ScoreKind,
    Status,
)
from secondpass.composition import Composer, compose, default_cache
from secondpass.policies import Blend, Budgeted, Cached, Cascade, EarlyStopping
from secondpass.rerank.policies.cascade import Margin
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.store import StateStore
from tests.rerank.simple import Numbers, numbered
from tests.tiny_models import tiny_reader

scores = st.lists(st.floats(-50, 50), min_size=1, max_size=40)

POLICIES: dict[str, Callable[[BaseReranker], BaseReranker]] = {
    "adaptive": lambda inner: EarlyStopping(inner, k=2, batch=3, patience=1),
    # So little that only the first batch is scored.
    "budgeted": lambda inner: Budgeted(inner, 1e-6),
    "cascade": lambda inner: Cascade(Numbers(), inner, Margin(1.0, k=3)),
    "budget in a cascade": lambda inner: Cascade(
        Budgeted(Numbers(), 1e-6), Budgeted(inner, 1e-6), Margin(1.0, k=3)
    ),
    "budget in steps": lambda inner: EarlyStopping(Budgeted(inner, 1e-6), k=2, batch=9),
}


def assert_honest(response: RerankResponse, count: int) -> None:
    results = response.results
    assert sorted(r.index for r in results) == list(range(count))
    assert [r.rank for r in results] == list(range(1, count + 1))
    values = [r.score for r in results]
    assert values == sorted(values, reverse=True)
    assert all(map(math.isfinite, values))
    read = [r for r in results if r.scored]
    left_out = results[len(read) :]
    assert read
    assert all(r.scored for r in results[: len(read)])
    assert [r.index for r in left_out] == sorted(r.index for r in left_out)
    for result in left_out:
        assert (result.probability, result.windows) == (None, 0)
        assert result.score_kind is ScoreKind.RANK
        assert result.score == min(r.score for r in read)
    assert response.usage.scored == len(read)
    assert response.usage.documents == count
    assert (response.status is Status.PARTIALLY_RERANKED) == bool(left_out)
    assert (response.reason is None) == (not left_out)


@pytest.mark.parametrize("name", POLICIES)
@given(values=scores)
def test_what_was_left_out_is_there_marked_and_last(name: str, values: list[float]) -> None:
    policy = POLICIES[name](Numbers())
    assert_honest(policy.rerank("q", numbered(values)), len(values))
    if len(values) > 15:
        assert policy.rerank("q", numbered([1.0] * 5 + values)).usage.scored > 0


@pytest.mark.parametrize("name", POLICIES)
def test_no_threshold_lets_through_what_was_not_scored(name: str) -> None:
    policy = POLICIES[name](Numbers())
    values = [9.0, 8.0, 7.0, *(5.0 - i for i in range(20))]
    kept = policy.rerank("q", numbered(values), min_score=-100.0)
    assert 0 < len(kept.results) < len(values)
    assert all(r.scored for r in kept.results)
    assert kept.usage.scored == len(kept.results)


@pytest.mark.parametrize("name", POLICIES)
def test_what_happened_inside_is_still_told(name: str) -> None:
    inner = Numbers(status=Status.FALLBACK, reason="the service was down")
    response = POLICIES[name](inner).rerank("q", numbered([float(-i) for i in range(30)]))
    assert response.status is Status.FALLBACK
    assert "the service was down" in str(response.reason)
    inner = Numbers(reason="a note")
    response = POLICIES[name](inner).rerank("q", numbered([1.0, 2.0]))
    assert (response.status, response.reason) == (Status.RERANKED, "a note")


@pytest.mark.parametrize("name", POLICIES)
def test_scores_of_lists_are_refused(name: str) -> None:
    if name == "cascade":
        cascade = Cascade(Numbers(ScoreKind.RANK), Numbers(), Margin(1.0, k=1))
        with pytest.raises(InputError, match="cannot begin"):
            cascade.rerank("q", numbered([1.0, 2.0]))
        return
    with pytest.raises(InputError, match=r"one list only.*Wrap"):
        POLICIES[name](Numbers(ScoreKind.RANK)).rerank("q", numbered([1.0, 2.0, 3.0, 4.0]))


@pytest.mark.parametrize("name", POLICIES)
def test_a_field_may_be_missing_from_a_whole_batch(name: str) -> None:
    documents: list[dict[str, object]] = [{"text": "x"} for _ in range(20)]
    documents += [{"text": "x", "year": 3.0}]

    class Years(Numbers):
        def score(self, query, candidates, options):  # type: ignore[no-untyped-def]
            filled = [("", body or "0") for _, body in options.texts(candidates)]
            return super().score(query, numbered([float(b) for _, b in filled]), READ)

    from secondpass.rerank.scoring_options import ScoringOptions

    READ = ScoringOptions()  # noqa: N806
    policy = POLICIES[name](Years())
    if name.endswith("cascade"):
        policy = Cascade(Years(), Years(), Margin(1.0, k=3))
    assert len(policy.rerank("q", documents, fields=["year"]).results) == 21
    with pytest.raises(InputError, match="Did you mean 'year'"):
        policy.rerank("q", documents, fields=["yaer"])


def test_one_clock_for_all_that_is_composed(tmp_path: Path) -> None:
    cheap, full = Numbers(identity="a"), Numbers(identity="b", times=2.0)
    options = {"cascade": True, "budget_ms": 600_000, "cache": tmp_path / "c"}
    policy = Composer().compose(full, options, cheap=cheap, margin=Margin(0.5, k=2))
    values = [float(-i) for i in range(40)]
    response = policy.rerank("q", numbered(values))
    assert (cheap.read, full.read) == (40, 2)
    assert response.reason == "2 of 40 candidates could still reach the top 2"
    assert [r.score for r in response.results[:2]] == [0.0, -2.0]
    assert policy.rerank("q", numbered(values)).results == response.results
    assert (cheap.read, full.read) == (40, 2)
    assert compose(full) is full
    assert policy.model == "numbers"
    assert policy.base is full


def test_the_best_of_the_cheap_one_come_first_where_time_is_short() -> None:
    cheap, full = Numbers(), Numbers()
    cascade = Cascade(cheap, Budgeted(full, 1e-6), Margin(100.0, k=2))
    values = [float(i) for i in range(20)]
    response = cascade.rerank("q", numbered(values))
    assert full.asked == [["19.0", "18.0", "17.0", "16.0"]]
    assert response.reason == "numbers scored 4 of 20 in 1e-06 ms"
    assert_honest(response, 20)


def test_a_store_goes_to_the_model_it_belongs_to_only(tmp_path: Path) -> None:
    tiny_reader(tmp_path / "a", seed=13)
    tiny_reader(tmp_path / "b", seed=14)
    cheap, full = Reranker(tmp_path / "a"), Reranker(tmp_path / "b")
    assert isinstance(full.base, PrecomputedReranker)
    store = StateStore(
        tmp_path / "s.sqlite",
        digest=full.base.states_digest,
        codes=full.base.codes,
        dimension=full.base.encoder.dimension,
    )
    options = {"cascade": True, "budget_ms": 600_000, "cache": tmp_path / "c"}
    policy = Composer().compose(full, options, cheap=cheap, margin=Margin(99.0, k=1))
    texts = ["the blue sea", "a slow river", "the storm"]
    policy = use_store(Blend(EarlyStopping(policy)), store)
    # Records of the cheap model under these keys would give the full one other scores.
    found = policy.rerank("where is it", texts)
    assert store.count() == 3
    expected = Reranker(tmp_path / "b").rerank("where is it", texts)
    assert [r.score for r in found.results] == [r.score for r in expected.results]
    assert isinstance(policy.base, PrecomputedReranker)
    assert policy.base.store is store
    store.close()


def test_where_the_cache_of_the_command_line_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/secondpass/scores.sqlite")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == Path.home() / ".cache" / "secondpass" / "scores.sqlite"


def test_policies_have_no_identity_unless_they_change_no_score() -> None:
    inner = Numbers()
    assert Cached(inner).identity == "numbers"
    for policy in POLICIES.values():
        assert policy(inner).identity is None
        with pytest.raises(InputError, match="around a model"):
            Cached(policy(inner))
    with pytest.raises(InputError):
        Cached(Blend(inner))


def test_first_stage_ranks_decide_who_is_scored() -> None:
    candidates = [Candidate(Document(f"{i}.0"), rank=20 - i) for i in range(20)]
    inner = Numbers()
    Budgeted(inner, 1e-6).rerank("q", candidates)
    assert inner.asked == [["19.0", "18.0", "17.0", "16.0"]]
    inner = Numbers()
    EarlyStopping(inner, k=1, batch=2, patience=1).rerank("q", candidates)
    assert inner.asked == [["19.0", "18.0"], ["17.0", "16.0"]]


def test_a_model_by_name_is_found_without_reading_the_plugins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from secondpass.rerank.hosted import registry

    composer = Composer()
    tiny = composer.load("bundled-tiny")
    read: list[str] = []

    def entry_points(group: str) -> list[Any]:
        read.append(group)
        return []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert composer.load("bundled-tiny") is tiny
    assert read == []
    # Only the models of providers have limits.
    assert composer.load("bundled-tiny", timeout=2.0, partial=True) is tiny
    assert read == [registry.GROUP]
    composer.close()
