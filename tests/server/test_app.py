"""Paths that no API has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/nothing", "/v3/rerank"])
def test_an_unknown_path_says_where_the_apis_are(http: httpx2.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    body = answer.json()
    assert body["message"] == body["detail"] == body["error"]["message"]
    assert repr(path) in body["message"]
    for known in ("/v1/rerank", "/client/v4", "/mcp", "/api/v1/openapi.json"):
        assert known in body["message"]
    assert body["id"] == answer.headers["x-request-id"]


def nothing(body: Any) -> Any:
    return body["message"] == body["detail"] and body["error"]["message"]


SHAPES: dict[str, Callable[[Any], Any]] = {
    "/api/v1": lambda body: body["error"] and body["id"] and body["what"],
    "/client/v4": lambda body: body["success"] is False and body["errors"][0]["message"],
    "/cloudflare": lambda body: body["success"] is False and body["errors"][0]["message"],
    "/knowledgesdk": lambda body: body["statusCode"] in (404, 405) and body["message"],
    "/mcp": lambda body: body["jsonrpc"] == "2.0" and body["error"]["message"],
    "/tei": lambda body: body.keys() == {"error", "error_type"} and body["error"],
    "/weaviate-reranker": lambda body: body.keys() == {"error"} and body["error"],
    **dict.fromkeys(
        ("/v1", "/cohere", "/jina", "/voyage", "/mixedbread", "/infinity", "/vllm"), nothing
    ),
}


@pytest.mark.parametrize("prefix", SHAPES)
def test_an_unknown_path_has_the_shape_of_its_api(http: httpx2.Client, prefix: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        answer = http.request(method, f"{prefix}/nothing/at/all")
        assert answer.status_code == 404
        message = SHAPES[prefix](answer.json())
        assert f"{prefix}/nothing/at/all" in message
        assert "/api/v1/openapi.json" in message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/rerank", "POST"),
        ("GET", "/v1/embeddings", "POST"),
        ("PATCH", "/api/v1/indexes", "GET, POST"),
        ("DELETE", "/client/v4/accounts/a/ai-search/instances/b/stats", "GET"),
        ("POST", "/client/v4/accounts/a/ai-search/instances/b", "DELETE, GET, PUT"),
        ("GET", "/cloudflare/a/search", "OPTIONS, POST"),
        ("GET", "/knowledgesdk/search", "POST"),
        ("GET", "/mcp", "POST"),
        ("GET", "/tei/rerank", "POST"),
        ("GET", "/weaviate-reranker/rerank", "POST"),
        *(
            ("GET", f"/{name}", "POST")
            for name in (
                "cohere/v2/rerank",
                "jina/v1/rerank",
                "voyage/v1/rerank",
                "mixedbread/v1/reranking",
                "infinity/rerank",
                "vllm/rerank",
            )
        ),
    ],
)
def test_another_method_has_the_shape_of_its_api(
    http: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    (prefix,) = [p for p in SHAPES if path.startswith(p + "/") or path == p] or ["/v1"]
    assert f"it takes {allowed}" in SHAPES[prefix](answer.json())


def test_weaviates_paths_name_their_methods(http: httpx2.Client) -> None:
    answer = http.get("/v1/graphql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "it takes POST" in answer.json()["error"][0]["message"]


def test_another_method_is_named(http: httpx2.Client) -> None:
    answer = http.get("/v1/rerank")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert "it takes POST" in answer.json()["message"]
