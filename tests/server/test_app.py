"""Paths that no API has."""

from __future__ import annotations

import httpx2
import pytest


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/nothing", "/v3/rerank", "/api/v1/none"])
def test_an_unknown_path_says_where_the_apis_are(http: httpx2.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    body = answer.json()
    assert body["message"] == body["detail"] == body["error"]["message"]
    assert repr(path) in body["message"]
    for known in ("/v1/rerank", "/client/v4", "/mcp", "/api/v1/openapi.json"):
        assert known in body["message"]
    assert body["id"] == answer.headers["x-request-id"]


def test_another_method_is_named(http: httpx2.Client) -> None:
    answer = http.get("/v1/rerank")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert "it takes POST" in answer.json()["message"]
