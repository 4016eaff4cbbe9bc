from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from secondpass import (
    BaseReranker,
    Candidate,
    Document,
    InputError,
    ModelError,
    Reranker,
    ScoreKind,
    Status,
)
from secondpass.errors import ProviderTimeoutError
from secondpass.policies import Blend, Fallback
from secondpass.rerank.policies.fallback import CircuitBreaker
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions

TEXTS = ["a", "bb", "ccc"]


class Scripted(BaseReranker):
    """Longest text first, unless its script says otherwise."""

    def __init__(self, *script: Exception | Sequence[float] | None, model: str = "s") -> None:
        self.script, self._model, self.calls = list(script), model, 0

    @property
    def model(self) -> str:
        return self._model

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        self.calls += 1
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        values = [len(c.document.text) for c in candidates] if step is None else step
        return Scored([Score(v) for v in values], ScoreKind.SIMILARITY)


def test_the_first_answer_is_passed_through() -> None:
    second = Scripted(model="second")
    response = Fallback(Scripted(), chain=[second]).rerank("q", TEXTS, min_score=2.0)
    assert [r.index for r in response.results] == [2, 1]
    assert (response.status, response.model, response.reason) == (Status.RERANKED, "s", None)
    assert second.calls == 0


def test_the_chain_answers_and_says_so() -> None:
    broken = Scripted(RuntimeError("no memory"), model="first")
    response = Fallback(broken, chain=[Scripted(model="second")]).rerank(
        "q", TEXTS, min_score=99.0
    )
    assert (response.status, response.model) == (Status.RERANKED, "second")
    assert response.reason == "RuntimeError: no memory"
    assert [r.index for r in response.results] == [2, 1, 0]


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [1.0, float("nan"), 0.0]])
def test_unsound_scores_are_a_failure(values: list[float]) -> None:
    response = Fallback(Scripted(values)).rerank("q", TEXTS)
    assert response.status is Status.FALLBACK
    assert response.reason is not None
    assert "finite scores for 3 documents" in response.reason


def test_a_fallback_is_the_first_stages_order_and_meets_no_threshold() -> None:
    policy = Fallback(Scripted(ModelError("gone"), ModelError("gone")))
    candidates = [Candidate(Document(t), rank=9 - i) for i, t in enumerate(TEXTS)]
    response = policy.rerank("q", candidates, min_score=0.5, top_k=2)
    assert [r.index for r in response.results] == [2, 1]
    assert response.model is None
    assert not any(r.scored for r in response.results)
    blended = Blend(policy).rerank("q", [Candidate(Document(t), bm25=9.0) for t in TEXTS])
    assert blended.status is Status.FALLBACK
    assert [r.index for r in blended.results] == [0, 1, 2]


def test_raise_raises_the_last_error() -> None:
    policy = Fallback(
        Scripted(ModelError("one")), chain=[Scripted(ModelError("two"))], on_failure="raise"
    )
    with pytest.raises(ModelError, match="two"):
        policy.rerank("q", TEXTS)


def test_the_callers_mistakes_are_not_covered_up() -> None:
    policy = Fallback(Reranker("bundled-tiny"), failures=1)
    with pytest.raises(InputError, match="max_length"):
        policy.rerank("q", TEXTS, max_length=100_000)
    assert policy.stages[0].breaker.state == "closed"
    assert Fallback(Scripted()).rerank("q", []).status is Status.SKIPPED


class Slow(Scripted):
    def __init__(self) -> None:
        super().__init__(model="slow")
        self.go = threading.Event()

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        self.go.wait(30)
        return super().score(query, candidates, options)


def test_a_stage_that_takes_too_long_is_left() -> None:
    slow = Slow()
    policy = Fallback(slow, chain=[Scripted(model="second")], timeout=[0.05, None])
    response = policy.rerank("q", TEXTS)
    assert response.model == "second"
    assert response.reason == "slow took too long: the timeout is 0.05 s"
    slow.go.set()
    with pytest.raises(ProviderTimeoutError):
        Fallback(Slow(), timeout=0.01, on_failure="raise").rerank("q", TEXTS)


def test_what_was_left_behind_does_not_pile_up() -> None:
    slow = Slow()
    policy = Fallback(slow, timeout=0.01, failures=100)
    reasons = [policy.rerank("q", TEXTS).reason or "" for _ in range(12)]
    assert sum(r.startswith("slow took too long") for r in reasons) == 8
    assert sum("still busy" in r for r in reasons) == 4
    slow.go.set()


def test_a_breaker_opens_tries_and_closes() -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=2, pause=10, clock=lambda: now[0])
    for _ in range(2):
        ticket = breaker.admit()
        assert ticket is not None
        breaker.record_failure(ticket)
    assert breaker.state == "open"
    assert breaker.admit() is None
    now[0] = 10
    assert breaker.state == "half-open"
    trial = breaker.admit()
    assert trial is not None
    assert breaker.admit() is None
    breaker.record_failure(trial)
    assert breaker.admit() is None
    now[0] = 20
    trial = breaker.admit()
    assert trial is not None
    breaker.record_success(trial)
    assert breaker.state == "closed"


def test_what_began_before_the_breaker_opened_says_nothing_later() -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=1, pause=10, clock=lambda: now[0])
    early, other = breaker.admit(), breaker.admit()
    assert early is not None
    assert other is not None
    breaker.record_failure(early)
    now[0] = 10
    trial = breaker.admit()
    breaker.record_failure(other)
    breaker.record_success(other)
    breaker.release(other)
    assert breaker.admit() is None
    assert trial is not None
    breaker.release(trial)
    assert breaker.admit() is not None


def test_only_one_of_many_threads_tries() -> None:
    breaker = CircuitBreaker(failures=1, pause=0)
    ticket = breaker.admit()
    assert ticket is not None
    breaker.record_failure(ticket)
    barrier = threading.Barrier(16)
    admitted: list[int | None] = []

    def ask() -> None:
        barrier.wait()
        admitted.append(breaker.admit())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(a is not None for a in admitted) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"on_failure": "ignore"},
        {"chain": ["bundled"]},
        {"timeout": 0},
        {"timeout": [1.0, 2.0]},
        {"timeout": "5"},
        {"failures": 0},
        {"pause": -1},
    ],
)
def test_options_that_make_no_sense(options: dict) -> None:
    with pytest.raises(InputError):
        Fallback(Scripted(), **options)


async def test_many_wait_at_once() -> None:
    slow = Slow()
    policy = Fallback(slow)
    tasks = [asyncio.create_task(policy.arerank("q", TEXTS)) for _ in range(40)]
    await asyncio.sleep(0.05)
    slow.go.set()
    assert {r.status for r in await asyncio.gather(*tasks)} == {Status.RERANKED}
    assert slow.calls == 40


def test_by_name() -> None:
    reranker = Reranker("tei", base_url="http://127.0.0.1:9", chain=["bundled-tiny"])
    response = reranker.rerank("q", TEXTS)
    assert response.model == "bundled-tiny"
    assert response.status is Status.RERANKED
    assert response.reason is not None
    timed = Reranker(
        "tei", base_url="http://127.0.0.1:9", chain=["bundled-tiny"], timeout=30
    ).backend
    assert isinstance(timed, Fallback)
    assert [s.runner is None for s in timed.stages] == [True, False]
    with pytest.raises(InputError, match="chain must be a list"):
        Reranker(chain="bundled")
