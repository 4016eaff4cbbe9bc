"""Replacing the backend inside of policies, and deprecated names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from secondpass import BaseReranker, Candidate, InputError, Reranker
from secondpass.policies import (
    Blend,
    Budgeted,
    Cached,
    Calibrated,
    Cascade,
    EarlyStopping,
    Fallback,
)
from secondpass.registry import load_reranker
from secondpass.rerank.calibration import Calibration
from secondpass.rerank.policies.boost import Boost
from secondpass.rerank.policies.calibration import model_identity
from secondpass.rerank.policies.cascade import Margin
from secondpass.rerank.policies.ensemble import Ensemble
from secondpass.rerank.policies.mmr import MMR
from secondpass.rerank.policies.pinned import Pinned
from secondpass.rerank.policies.recency import Recency
from secondpass.rerank.score import Scored, ScoringJob
from secondpass.rerank.scoring_options import ScoringOptions
from tests.rerank.simple import Numbers, numbered


def calibrated(reranker: BaseReranker) -> BaseReranker:
    identity = model_identity(reranker)
    return Calibrated(reranker, Calibration("platt", reranker.model, identity))


POLICIES: dict[str, Callable[[BaseReranker], BaseReranker]] = {
    "blend": Blend,
    "boost": lambda r: Boost(r, "kind", {"guide": 1.0}),
    "budgeted": lambda r: Budgeted(r, 60_000),
    "cached": Cached,
    "calibrated": calibrated,
    "cascade": lambda r: Cascade(r, r, Margin(1.0, k=1)),
    "early stopping": EarlyStopping,
    "ensemble": lambda r: Ensemble([r, r]),
    "fallback": lambda r: Fallback(r, chain=[r], timeout=60.0),
    "mmr": MMR,
    "pinned": lambda r: Pinned(r, first=["a"]),
    "recency": lambda r: Recency(r, "day", half_life=timedelta(days=1)),
    "nested": lambda r: Blend(Fallback(Budgeted(Cached(r), 60_000))),
}


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_the_backends_inside_of_a_policy_are_replaced(name: str) -> None:
    old, new = Numbers(), Numbers()
    policy = POLICIES[name](old)
    seen: list[BaseReranker] = []

    def replace(base: BaseReranker) -> BaseReranker:
        seen.append(base)
        return new

    replaced = policy.map_base(replace)
    assert set(seen) == {old}
    assert type(replaced) is type(policy)
    replaced.rerank("q", numbered([3, 1, 2]))
    assert new.asked
    assert not old.asked
    policy.rerank("q", numbered([5, 4]))
    assert old.asked


def test_a_backend_is_replaced_itself() -> None:
    old, new = Numbers(), Numbers()
    assert old.map_base(lambda base: new) is new


def test_exits_is_the_old_name_of_early_exit() -> None:
    with pytest.warns(DeprecationWarning, match="pass early_exit"):
        reranker = Reranker(exits=True)
    texts = [f"text {n}" for n in range(20)]
    options = {"top_k": 2}
    expected = Reranker(early_exit=True).rerank("text 3", texts, **options)  # type: ignore[arg-type]
    assert reranker.rerank("text 3", texts, **options).usage == expected.usage  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match="pass early_exit"):
        load_reranker("bundled-tiny", exits=False)
    with pytest.raises(InputError, match="early_exit is for models that run here"):
        load_reranker("cohere/rerank-v3.5", api_key="k", early_exit=True)


def test_score_together_is_the_old_name_of_score_batch() -> None:
    job = ScoringJob("q", numbered([1.0]), ScoringOptions())
    with pytest.warns(DeprecationWarning, match="score_batch"):
        (scored,) = Numbers().score_together([job])
    assert scored.scores[0].value == 1.0
    with pytest.warns(DeprecationWarning, match="name it score_batch"):

        class Old(BaseReranker):
            @property
            def model(self) -> str:
                return "old"

            def score(
                self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
            ) -> Scored:
                raise AssertionError

            def score_together(self, asked: Sequence[ScoringJob]) -> list[Scored]:
                return Numbers().score_batch(asked)

    assert Old().score_batch([job])[0].scores[0].value == 1.0


def test_an_ensemble_adds_up_what_its_members_cost() -> None:
    class Billed(Numbers):
        def score(
            self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
        ) -> Scored:
            scored = super().score(query, candidates, options)
            return Scored(scored.scores, scored.kind, requests=2, searches=1.0, cost=0.5)

    usage = Ensemble([Billed(), Numbers(), Billed()]).rerank("q", numbered([1, 2])).usage
    assert (usage.requests, usage.searches, usage.cost) == (4, 2.0, 1.0)
