"""Limits of keys, and where clients put them."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError
from secondpass.server.access.api_keys import KeyFile, key_in
from secondpass.server.access.rate_limit import RateLimits
from secondpass.server.http_errors import HttpError
from tests.server.conftest import QUERY, TEXTS, keyed, serving

ASK = {"query": QUERY, "documents": TEXTS}


@given(
    st.integers(1, 1000),
    st.lists(st.floats(0, 200, allow_nan=False), min_size=1, max_size=200),
)
def test_no_key_asks_more_often_than_it_may(per_minute: int, pauses: list[float]) -> None:
    now, taken, waits = 0.0, list[float](), list[float | None]()
    limits = RateLimits(lambda: now)
    for pause in pauses:
        now += pause
        try:
            limits.take("a", per_minute)
        except HttpError as problem:
            waits.append(problem.retry_after)
        else:
            taken.append(now)
    assert all(wait is not None and 0 < wait <= 60 / per_minute + 1e-6 for wait in waits)
    for start in taken:
        # A full bucket, and what came in during a minute.
        assert sum(start <= t < start + 60 for t in taken) <= 2 * per_minute
    limits.take("another", per_minute)


def test_who_waits_as_told_is_let_in() -> None:
    now = 0.0
    limits = RateLimits(lambda: now)
    for _ in range(2):
        limits.take("a", 2)
    with pytest.raises(HttpError) as caught:
        limits.take("a", 2)
    assert caught.value.retry_after == 30
    now = 30.0
    limits.take("a", 2)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"authorization": "Token k"}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "Bearer "}, None),
        ({"x-api-key": " k "}, "k"),
        ({"x-auth-key": "k", "x-auth-email": "e"}, "k"),
        ({"authorization": "Bearer a", "x-api-key": "b"}, "a"),
        ({"authorization": "Basic a", "x-api-key": "b"}, "b"),
    ],
)
def test_where_a_key_stands(headers: dict[str, str], expected: str | None) -> None:
    assert key_in(headers) == expected


def test_a_keys_own_limits(tmp_path: Path, model: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    seldom = keys.create("seldom", ["rerank"], per_minute=2)
    small = keys.create("small", ["rerank"], max_documents=3, max_body=500)
    with serving(keyed(tmp_path, model)) as url, httpx2.Client(base_url=url) as http:

        def ask(key: str, body: object = ASK, path: str = "/v1/rerank") -> httpx2.Response:
            return http.post(path, json=body, headers={"authorization": f"Bearer {key}"})

        codes = [ask(seldom).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        refused = ask(seldom, path="/api/v1/rerank")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        for path in ("/v1/rerank", "/api/v1/rerank"):
            many = ask(small, path=path)
            assert many.status_code == 400
            assert "at most 3" in many.json()["message"]
            long = {"query": "q", "documents": ["x" * 600]}
            large = ask(small, long, path)
            assert large.status_code == 413
            assert "longer than 500 bytes, the limit of this key" in large.text
            assert ask(small, {"query": "q", "documents": ["x"]}, path).status_code == 200
            assert ask(small, {"query": "q"}, "/api/v1/indexes").status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": ""},
        {"tenant": "../a"},
        {"tenant": "-a"},
        {"tenant": "a b"},
        {"tenant": "x" * 65},
        {"per_minute": 0},
        {"max_documents": -1},
        {"max_body": 0},
    ],
)
def test_limits_that_cannot_be(tmp_path: Path, wrong: dict[str, object]) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    with pytest.raises(InputError):
        keys.create("a", ["rerank"], **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "keys.json").exists()
