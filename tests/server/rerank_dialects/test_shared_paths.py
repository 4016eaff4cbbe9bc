"""Paths of several APIs: whose a body is, and bodies that are nobody's."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.server.conftest import QUERY, TEXTS

ASK = {"query": QUERY, "documents": TEXTS}
NAMED = {**ASK, "model": "m"}


def post(http: httpx2.Client, path: str, body: Any, status: int = 200, **headers: str) -> Any:
    response = http.post(path, json=body, headers=headers)
    assert response.status_code == status, response.text
    return response.json()


def api_of(found: Any) -> str:
    """Return the API whose form a reply has."""
    if isinstance(found, list):
        return "tei"
    if "scores" in found:
        return "weaviate"
    if found["id" if "id" in found else "model"].startswith(("score-", "infinity-")):
        return str(found["id"].partition("-")[0]).replace("score", "vllm")
    if "meta" in found:
        return (
            "union" if "data" in found else "cohere" + found["meta"]["api_version"]["version"]
        )
    if "results" in found:
        return "jina"
    rows = found["data"]
    if "object" in rows[0]:
        return "mixedbread"
    return "voyage" if "relevance_score" in rows[0] else "pinecone"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/rerank", ASK, "union"),
        ("/v1/rerank", {**NAMED, "top_n": 2, "return_documents": True}, "union"),
        ("/v1/rerank", {**NAMED, "top_k": None, "truncation": True}, "voyage"),
        ("/v1/rerank", {**ASK, "top_k": 1}, "voyage"),
        ("/v1/rerank", {**NAMED, "truncation": True}, "union"),
        ("/v1/rerank", {**NAMED, "truncation": True, "top_n": 2}, "union"),
        ("/v1/rerank", {**NAMED, "return_embeddings": False}, "jina"),
        ("/v1/rerank", {**NAMED, "max_doc_length": 99}, "jina"),
        ("/v1/rerank", {**NAMED, "rank_fields": ["text"]}, "cohere1"),
        ("/v1/rerank", {**NAMED, "max_chunks_per_doc": 5, "overlap_tokens": 80}, "union"),
        ("/v1/rerank", {**NAMED, "top_n": None, "overlap_tokens": None}, "union"),
        ("/v1/rerank", {**NAMED, "use_activation": True}, "vllm"),
        ("/v2/rerank", NAMED, "cohere2"),
        ("/v2/rerank", ASK, "vllm"),
        ("/v2/rerank", {**NAMED, "truncate_prompt_tokens": 9}, "vllm"),
        ("/rerank", ASK, "infinity"),
        ("/rerank", {**ASK, "raw_scores": True}, "infinity"),
        ("/rerank", {"query": QUERY, "texts": TEXTS, "top_n": 2}, "tei"),
        ("/rerank", {**ASK, "property": ""}, "weaviate"),
        ("/rerank", {**NAMED, "top_k": 2}, "voyage"),
        ("/rerank", {**NAMED, "activation": False}, "vllm"),
        ("/rerank", {**NAMED, "parameters": {"truncate": "END"}}, "pinecone"),
        ("/rerank", {**NAMED, "return_len": "true"}, "union"),
        ("/v1/reranking", {"query": QUERY, "input": TEXTS}, "mixedbread"),
        ("/v1/reranking", ASK, "union"),
    ],
)
def test_fields_that_one_api_has_decide(
    http: httpx2.Client, path: str, body: dict[str, Any], expected: str
) -> None:
    if "rank_fields" in body:
        body = {**body, "documents": [{"text": text} for text in TEXTS]}
    assert api_of(post(http, path, body)) == expected


def test_clients_that_say_who_they_are(http: httpx2.Client) -> None:
    sdk = {"x-fern-sdk-name": "cohere"}
    assert api_of(post(http, "/v1/rerank", NAMED, **sdk)) == "cohere1"
    assert "model" in post(http, "/v2/rerank", ASK, 400, **sdk)["message"]
    pinecone = {"x-pinecone-api-version": "2025-10"}
    found = post(http, "/rerank", {**NAMED, "top_n": 1}, **pinecone)
    assert api_of(found) == "pinecone"
    assert found["data"][0]["document"] == {"text": TEXTS[found["data"][0]["index"]]}


@pytest.mark.parametrize(
    ("path", "fields", "paths"),
    [
        ("/v1/rerank", {"top_k": 1, "top_n": 1}, ["/voyage/v1/rerank", "/jina/v1/rerank"]),
        (
            "/v1/rerank",
            {"top_k": 1, "rank_fields": ["a"]},
            ["top_k of /voyage/v1/rerank", "rank_fields of /cohere/v1/rerank"],
        ),
        ("/rerank", {"texts": TEXTS}, ["texts of /tei/rerank", "/infinity/rerank"]),
        ("/reranking", {"input": TEXTS}, ["input of /mixedbread/v1/reranking"]),
    ],
)
def test_fields_of_different_apis_are_an_error_that_names_paths(
    http: httpx2.Client, path: str, fields: dict[str, Any], paths: list[str]
) -> None:
    message = post(http, path, {**ASK, **fields}, status=400)["message"]
    for one in paths:
        assert one in message


def test_what_is_not_read_is_told(http: httpx2.Client) -> None:
    long = {**NAMED, "query": f"{QUERY} " * 60}
    warned = post(http, "/v2/rerank", long)["meta"]["warnings"]
    assert "The query is too long" in warned[0]
    (told,) = post(http, "/jina/v1/rerank", long)["warnings"]
    assert told == warned[0]
    answer = http.post("/tei/rerank", json={"query": long["query"], "texts": TEXTS})
    assert answer.headers["x-warnings"] == warned[0]
    pairs = {"inputs": [[long["query"], text] for text in TEXTS]}
    assert http.post("/tei/predict", json=pairs).headers["x-warnings"] == warned[0]
    short = http.post("/v2/rerank", json={**NAMED, "priority": 3, "foo\r\nbar": 1})
    assert "x-ignored-fields" in short.headers
    assert len(short.json()["meta"]["warnings"]) == 2
    assert "warnings" not in post(http, "/v2/rerank", NAMED)["meta"]


def test_tei_refuses_what_is_too_long_with_its_own_status(http: httpx2.Client) -> None:
    body = {"query": f"{QUERY} " * 60, "texts": TEXTS}
    refused = post(http, "/rerank", {**body, "truncate": False}, status=413)
    assert refused["error_type"] == "Validation"
    post(http, "/rerank", {**body, "truncation_direction": "up"}, status=400)
    many = post(http, "/tei/rerank", {"query": "q", "texts": ["a"] * 10_001}, status=413)
    assert many["error_type"] == "Validation"
    voyage = {"query": body["query"], "documents": TEXTS, "model": "m", "truncation": False}
    assert "too long" in post(http, "/voyage/v1/rerank", voyage, status=400)["detail"]


@pytest.mark.parametrize("path", ["/tei/rerank", "/tei/predict"])
def test_tei_reads_the_ends_of_long_texts_for_left(http: httpx2.Client, path: str) -> None:
    end = "the river meets the sea"
    texts = ["a " * 70_000 + end, "a slow ship"]

    def ask(direction: str) -> tuple[list[float], str]:
        pairs = {"inputs": [[QUERY, texts[0]], [QUERY, texts[1]]]}
        asked = pairs if path.endswith("predict") else {"query": QUERY, "texts": texts}
        response = http.post(path, json={**asked, "truncation_direction": direction})
        rows = response.json()
        if path.endswith("predict"):
            scores = [row[0]["score"] for row in rows]
        else:
            scores = [row["score"] for row in sorted(rows, key=lambda row: row["index"])]
        return scores, response.headers["x-warnings"]

    (beginning, _), cut = ask("Right")
    (ends, short), told = ask("Left")
    (_, same), _ = ask("left")
    assert ends > beginning
    assert short == same
    assert "the ends are read" in told
    assert "the ends are read" not in cut
    assert "characters were not read" in cut
    assert "characters were not read" in told


def test_tei_reads_for_left_what_it_reads_for_right_of_short_texts(http: httpx2.Client) -> None:
    body = {"query": f"{QUERY} " * 60, "texts": TEXTS}
    right, left = (
        http.post("/tei/rerank", json={**body, "truncation_direction": direction})
        for direction in ("Right", "Left")
    )
    assert left.json() == right.json()
    assert "query is too long" in left.headers["x-warnings"]
    assert left.headers["x-warnings"] == right.headers["x-warnings"]


def test_more_than_a_thousand_documents_are_taken(http: httpx2.Client) -> None:
    body = {**NAMED, "documents": ["sea", "ship", "sky"] * 400, "top_n": 1}
    assert post(http, "/v2/rerank", body)["meta"]["billed_units"] == {"search_units": 12}


def test_rank_fields_reach_into_objects(http: httpx2.Client, expected: list[int]) -> None:
    documents = [{"content": {"text": text}, "page": 1} for text in TEXTS]
    body = {**NAMED, "documents": documents, "rank_fields": ["content.text"]}
    found = post(http, "/v1/rerank", body)
    assert [row["index"] for row in found["results"]] == expected
