"""Request bodies as clients really send them: RAGFlow, Dify, llama.cpp, vLLM."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.server.conftest import QUERY, TEXTS


def post(http: httpx2.Client, path: str, body: Any, status: int = 200) -> Any:
    response = http.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_booleans_and_numbers_as_strings(http: httpx2.Client, path: str) -> None:
    body = {"query": QUERY, "documents": TEXTS}
    found = post(http, path, {**body, "return_documents": "true", "top_n": "2"})["results"]
    assert len(found) == 2
    assert all(row["document"] for row in found)
    plain = post(http, path, {**body, "return_documents": "False", "top_n": 2.0})["results"]
    assert [row["index"] for row in plain] == [row["index"] for row in found]
    assert all(row.get("document") is None for row in plain)
    for name, value in (("return_documents", "perhaps"), ("top_n", "few"), ("top_n", 1.5)):
        assert name in str(post(http, path, {**body, name: value}, status=400))


def test_zero_results_are_all_on_the_shared_path_alone(http: httpx2.Client) -> None:
    body = {"query": QUERY, "documents": TEXTS, "top_n": 0, "model": "m"}
    assert len(post(http, "/v1/rerank", body)["results"]) == len(TEXTS)
    post(http, "/cohere/v2/rerank", body, status=400)


def test_tokens_are_told_where_ragflow_reads_them(http: httpx2.Client) -> None:
    found = post(http, "/v1/rerank", {"query": QUERY, "documents": TEXTS})
    tokens = found["meta"]["tokens"]
    assert tokens == {"input_tokens": found["usage"]["total_tokens"], "output_tokens": 0}


def test_text_parts_are_one_text(http: httpx2.Client, expected: list[int]) -> None:
    documents = [{"content": [{"type": "text", "text": text}]} for text in TEXTS]
    found = post(http, "/v1/rerank", {"query": QUERY, "documents": documents})
    assert [row["index"] for row in found["results"]] == expected
    picture = {"content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    refused = post(http, "/v1/rerank", {"query": QUERY, "documents": [picture]}, status=400)
    assert "documents[0].content[0] is not text" in refused["message"]


@pytest.mark.parametrize("path", ["/v1/reranking", "/reranking"])
def test_llama_cpp_and_mixedbread_share_a_path(
    http: httpx2.Client, expected: list[int], path: str
) -> None:
    llama = post(http, path, {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3})
    assert [row["index"] for row in llama["results"]] == expected[:3]
    mixedbread = post(http, path, {"model": "m", "query": QUERY, "input": TEXTS})
    assert [row["index"] for row in mixedbread["data"]] == expected


@pytest.mark.parametrize(
    "loose", [{"top_k": "1"}, {"top_k": 1.0}, {"return_documents": "true"}, {"truncate": 1}]
)
def test_the_native_interface_takes_no_type_for_another(
    http: httpx2.Client, loose: dict[str, Any]
) -> None:
    body = {"query": QUERY, "documents": TEXTS, **loose}
    assert next(iter(loose)) in post(http, "/api/v1/rerank", body, status=400)["message"]
