"""Request bodies as programs really send them: RAGFlow, Dify, LibreChat, n8n and others."""

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


PLAIN = {"model": "m", "query": QUERY, "documents": TEXTS}


@pytest.mark.parametrize(
    ("path", "more"),
    [
        pytest.param("/v1/rerank", {"top_n": 4}, id="open-webui, Dify, RAGFlow, LocalAI"),
        pytest.param("/v1/rerank", {"top_n": 3, "return_documents": True}, id="LibreChat"),
        pytest.param(
            "/v1/rerank", {"return_documents": "true", "return_len": "true"}, id="Xinference"
        ),
        pytest.param("/v2/rerank", {"top_n": 2}, id="LibreChat and n8n for Cohere"),
        pytest.param("/providers/cohere/v2/rerank", {"top_n": 3}, id="n8n for Azure"),
    ],
)
def test_programs_read_index_and_score(
    http: httpx2.Client, expected: list[int], path: str, more: dict[str, Any]
) -> None:
    found = post(http, path, {**PLAIN, **more})
    top = more.get("top_n", len(TEXTS))
    assert [row["index"] for row in found["results"]] == expected[:top]
    assert all(0 <= row["relevance_score"] <= 1 for row in found["results"])
    if more.get("return_documents"):
        shown = [row["document"]["text"] for row in found["results"]]
        assert shown == [TEXTS[index] for index in expected[:top]]


def test_flowise_for_azure(http: httpx2.Client, expected: list[int]) -> None:
    body = {**PLAIN, "top_n": 2, "max_chunks_per_doc": 10, "return_documents": False}
    headers = {"api-key": "any", "Accept": "application/json"}
    path = "/providers/cohere/v2/rerank"
    response = http.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    assert [row["index"] for row in response.json()["results"]] == expected[:2]
    assert response.headers["x-ignored-fields"] == "max_chunks_per_doc"


def test_dify_checks_a_model_by_a_question_of_its_own(http: httpx2.Client) -> None:
    texts = ["Carson City is the capital of Nevada.", "Washington is the capital."]
    body = {"model": "m", "query": "What is the capital?", "documents": texts, "top_n": 3}
    assert len(post(http, "/v1/rerank", body)["results"]) == 2
