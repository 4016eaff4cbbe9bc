from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.remote.retry import backoff, is_retryable, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:10 GMT"}, 10),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Sat, 99 Nov 2026 11:00:00 GMT"}, None),
    ],
)
def test_both_forms_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    found = retry_after(headers, now)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(text=st.text(max_size=30))
def test_a_strange_retry_after_is_none_or_seconds(text: str) -> None:
    found = retry_after({"retry-after": text})
    assert found is None or 0 <= found < math.inf


def test_which_statuses_are_repeated() -> None:
    codes = [c for c in range(300, 600) if is_retryable(c)]
    assert codes == [408, 409, 425, 429, *range(500, 600)]


@pytest.mark.parametrize(
    ("said", "status", "again"), [("true", 400, True), ("False", 503, False)]
)
def test_a_server_that_says_so_is_believed(said: str, status: int, again: bool) -> None:
    assert is_retryable(status, {"x-should-retry": said}) is again
    assert is_retryable(status, {"x-should-retry": "perhaps"}) is (status >= 500)


@given(attempt=st.integers(0, 10**6))
def test_a_pause_is_within_its_bounds(attempt: int) -> None:
    most = min(8.0, 0.5 * 2.0 ** min(attempt, 60))
    assert 0.75 * most <= backoff(attempt) <= most
