"""Whatever a server does, a search answers, and never says that it was reranked if not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from secondpass import ProviderError, ScoreKind, Status
from secondpass.errors import ProviderTimeoutError
from secondpass.policies import Fallback
from tests.loopback import faults
from tests.loopback.clients import MODELS, client
from tests.loopback.server import Loopback

QUERY = "how to change a password"
TEXTS = ["the sea is blue", "change the password in the settings", "bread needs flour"]
IN_PLACE = {"weaviate"}
"""Providers that answer by position and not by index."""


def fallen(response: Any) -> bool:
    return (
        response.status is Status.FALLBACK
        and [r.index for r in response.results] == [0, 1, 2]
        and {r.score_kind for r in response.results} == {ScoreKind.RANK}
        and response.model is None
        and bool(response.reason)
        and not any(r.scored or r.probability is not None for r in response.results)
    )


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("fault", sorted(faults.UNSOUND))
def test_an_unsound_answer_is_an_error_at_once(server: Loopback, name: str, fault: str) -> None:
    server.always = faults.UNSOUND[fault]
    reranker = client(name, server)
    with pytest.raises(ProviderError) as caught:
        reranker.rerank(QUERY, TEXTS)
    assert not caught.value.retryable
    assert caught.value.status == 200
    asked = [s for s in server.seen if s.method == "POST"]
    assert len(asked) == 1
    assert fallen(Fallback(reranker).rerank(QUERY, TEXTS, min_score=0.9))


@pytest.mark.parametrize("fault", sorted(faults.BROKEN))
def test_what_may_pass_is_tried_again(server: Loopback, fault: str) -> None:
    server.faults.append(faults.BROKEN[fault])
    reranker = client("cohere", server)
    response = Fallback(reranker).rerank(QUERY, TEXTS, min_score=0.0)
    waited_for = fault != "429 for an hour"
    assert len(server.seen) == (2 if waited_for else 1)
    if waited_for:
        assert response.status is Status.RERANKED
        assert response.results[0].index == 1
    else:
        assert fallen(response)


@pytest.mark.parametrize("fault", sorted(faults.BROKEN))
def test_what_does_not_pass_ends(server: Loopback, fault: str) -> None:
    server.always = faults.BROKEN[fault]
    reranker = client("jina", server)
    with pytest.raises(ProviderError) as caught:
        reranker.rerank(QUERY, TEXTS)
    assert caught.value.retryable
    assert len(server.seen) == (1 if fault == "429 for an hour" else 3)
    assert fallen(Fallback(reranker).rerank(QUERY, TEXTS, min_score=0.9))


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 405, 413, 422, 424, 301, 204])
def test_other_refusals_are_never_repeated(server: Loopback, code: int) -> None:
    server.always = faults.status(code, {"location": "http://127.0.0.1:9/"})
    with pytest.raises(ProviderError) as caught:
        client("cohere", server).rerank(QUERY, TEXTS)
    assert not caught.value.retryable
    assert caught.value.status == code
    assert len(server.seen) == 1


@pytest.mark.parametrize("fault", [faults.hang, faults.drip])
def test_a_deadline_holds_whatever_trickles_in(server: Loopback, fault: Any) -> None:
    server.always = fault
    reranker = client("cohere", server, timeout=0.3)
    with pytest.raises(ProviderTimeoutError) as caught:
        reranker.rerank(QUERY, TEXTS)
    assert isinstance(caught.value, TimeoutError)
    assert fallen(Fallback(reranker).rerank(QUERY, TEXTS, min_score=0.9))


def test_one_slow_attempt_does_not_use_up_the_call(server: Loopback) -> None:
    server.faults.append(faults.hang)
    reranker = client("cohere", server, timeout=30, attempt_timeout=0.2)
    assert reranker.rerank(QUERY, TEXTS).status is Status.RERANKED
    assert len(server.seen) == 2


def test_nobody_listens(server: Loopback) -> None:
    from tests.loopback.server import running

    with running() as gone:
        reranker = client("tei", gone)
    with pytest.raises(ProviderError) as caught:
        reranker.rerank(QUERY, TEXTS)
    assert caught.value.retryable
    assert caught.value.status is None
    assert fallen(Fallback(reranker).rerank(QUERY, TEXTS))


def test_a_storm_of_429_over_many_threads(server: Loopback) -> None:
    server.always = faults.status(429, {"retry-after": "0"})
    policy = Fallback(client("voyage", server), failures=5, pause=3600)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: policy.rerank(QUERY, TEXTS), range(64)))
    assert all(map(fallen, found))
    # Three attempts each until five calls in a row have failed, and those under way then.
    assert len(server.seen) < 64 * 3
    assert policy.stages[0].breaker.state == "open"
    server.always = None
    before = len(server.seen)
    assert fallen(policy.rerank(QUERY, TEXTS))
    assert len(server.seen) == before


def test_some_parts_fail(server: Loopback) -> None:
    texts = [f"text {i} about a password" if i % 2 else f"text {i}" for i in range(80)]
    server.faults.extend([None, faults.status(400), None])
    with pytest.raises(ProviderError):
        client("weaviate", server, concurrency=1).rerank(QUERY, texts)
    server.faults.extend([None, faults.status(400), None])
    response = client("weaviate", server, concurrency=1, partial=True).rerank(QUERY, texts)
    assert response.status is Status.PARTIALLY_RERANKED
    assert response.reason is not None
    unscored = [r for r in response.results if not r.scored]
    assert "status 400" in response.reason
    assert sorted(r.index for r in response.results) == list(range(80))
    assert [r.index for r in unscored] == sorted(r.index for r in unscored)
    assert 0 < len(unscored) <= 32
    assert response.results[-len(unscored) :] == tuple(unscored)
    assert {r.score_kind for r in unscored} == {ScoreKind.RANK}
    assert response.usage.requests == 2


def test_an_answer_without_end_is_cut_off(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondpass.rerank.hosted.provider_client.MAX_RESPONSE_BYTES", 100)
    with pytest.raises(ProviderError, match="longer than"):
        client("vllm", server).rerank(QUERY, TEXTS * 5)


def test_what_a_server_says_is_passed_on_without_the_key(server: Loopback) -> None:
    from tests.loopback.dialects import KEY

    server.always = faults.status(401, body={"message": f"invalid key {KEY}\n\x00!"})
    with pytest.raises(ProviderError) as caught:
        client("cohere", server).rerank(QUERY, TEXTS)
    assert "invalid key ***" in str(caught.value)
    server.always = faults.changed(lambda rows, i, s: rows[0].__setitem__(s, KEY))
    with pytest.raises(ProviderError) as caught:
        client("cohere", server).rerank(QUERY, TEXTS)
    assert KEY not in str(caught.value)
    assert KEY not in repr(client("cohere", server).__dict__)
