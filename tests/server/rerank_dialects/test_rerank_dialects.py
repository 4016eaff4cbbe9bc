"""Every dialect over HTTP: what comes back, and in which shape a refusal is."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from secondpass import Reranker
from tests.server.conftest import QUERY, TEXTS

ASK = {"query": QUERY, "documents": TEXTS, "model": "m"}
RESULTS = [
    "/cohere/v1/rerank",
    "/cohere/v2/rerank",
    "/v2/rerank",
    "/v1/v2/rerank",
    "/v1/rerank",
    "/v1/v1/rerank",
    "/jina/v1/rerank",
    "/infinity/rerank",
    "/rerank",
    "/vllm/rerank",
    "/vllm/v1/rerank",
    "/vllm/v2/rerank",
]
DATA = ["/voyage/v1/rerank"]


def post(http: httpx2.Client, path: str, body: Any) -> Any:
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert len(response.headers["x-request-id"]) == 32
    return response.json()


@pytest.mark.parametrize("path", RESULTS)
def test_results_are_ordered_and_point_into_the_request(
    http: httpx2.Client, path: str, expected: list[int]
) -> None:
    found = post(http, path, ASK)
    assert [row["index"] for row in found["results"]] == expected
    scores = [row["relevance_score"] for row in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert found["model"] == "m"
    assert found["usage"]["total_tokens"] > 0
    cut = post(http, path, {**ASK, "top_n": 2})
    assert [row["index"] for row in cut["results"]] == expected[:2]
    assert len(post(http, path, {**ASK, "top_n": 99})["results"]) == len(TEXTS)


def test_cohere(http: httpx2.Client, expected: list[int]) -> None:
    body = {**ASK, "return_documents": True, "documents": [{"text": t, "n": 1} for t in TEXTS]}
    first = post(http, "/cohere/v1/rerank", body)
    assert first["results"][0]["document"] == {"text": TEXTS[expected[0]], "n": 1}
    assert first["meta"]["api_version"] == {"version": "1"}
    assert first["meta"]["billed_units"] == {"search_units": 1}
    fields = {**body, "documents": [{"a": t, "b": 2} for t in TEXTS], "rank_fields": ["a", "b"]}
    assert len(post(http, "/v1/rerank", fields)["results"]) == len(TEXTS)
    second = post(http, "/v2/rerank", ASK)
    assert second["meta"]["api_version"] == {"version": "2", "is_experimental": False}
    assert "document" not in second["results"][0]
    assert http.post("/cohere/v2/rerank", json={**ASK, "model": None}).status_code == 400


@pytest.mark.parametrize("path", ["/cohere/v2/rerank", "/v2/rerank"])
def test_cohere_relevant_spans(http: httpx2.Client, path: str) -> None:
    text = f"\U0001f600 {TEXTS[0]}. The river is slow."
    body = {**ASK, "documents": [text, ""], "relevant_spans": {"mode": "enabled"}}
    found = {row["index"]: row for row in post(http, path, body)["results"]}
    spans = found[0]["relevant_spans"]
    assert all(set(span) == {"start", "end", "score"} for span in spans)
    assert [s["score"] for s in spans] == sorted((s["score"] for s in spans), reverse=True)
    assert all(0.1 <= span["score"] <= 1 for span in spans)
    sentences = {f"\U0001f600 {TEXTS[0]}.", "The river is slow."}
    assert {text[s["start"] : s["end"]] for s in spans} <= sentences
    assert "relevant_spans" not in found[1]
    off = {**body, "relevant_spans": {"mode": "disabled"}}
    assert "relevant_spans" not in post(http, path, off)["results"][0]
    one = {**body, "relevant_spans": {"mode": "enabled", "threshold": 0, "max_spans": 1}}
    rows = {row["index"]: row for row in post(http, path, one)["results"]}
    assert len(rows[0]["relevant_spans"]) == 1
    assert "relevant_spans" not in rows[1]
    for wrong in ({}, {"threshold": 0.5}, {"mode": "on"}, {"mode": "enabled", "threshold": 2}):
        refused = http.post(path, json={**body, "relevant_spans": wrong})
        assert refused.status_code == 400
        assert "relevant_spans" in refused.json()["message"]


def test_jina_sends_documents_unless_told_not_to(
    http: httpx2.Client, expected: list[int]
) -> None:
    found = post(http, "/jina/v1/rerank", {**ASK, "query": {"text": QUERY}})
    assert found["results"][0]["document"] == {"text": TEXTS[expected[0]]}
    found = post(http, "/jina/v1/rerank", {**ASK, "return_documents": False})
    assert "document" not in found["results"][0]
    images = http.post("/jina/v1/rerank", json={**ASK, "documents": [{"image": "x"}]})
    assert images.status_code == 400
    assert "documents[0] has no text" in images.json()["detail"]


def test_voyage(http: httpx2.Client, expected: list[int]) -> None:
    body = {**ASK, "top_k": None, "truncation": True}
    for path in ("/voyage/v1/rerank", "/v1/rerank", "/rerank"):
        found = post(http, path, body)
        assert [row["index"] for row in found["data"]] == expected
        assert "results" not in found
        assert found["usage"]["total_tokens"] > 0
    found = post(http, "/v1/rerank", {**body, "top_k": 1, "return_documents": True})
    assert found["data"][0]["document"] == TEXTS[expected[0]]


def test_mixedbread(http: httpx2.Client, expected: list[int]) -> None:
    body = {"query": QUERY, "input": TEXTS, "top_k": 2, "return_input": True}
    found = post(http, "/v1/reranking", body)
    assert [row["index"] for row in found["data"]] == expected[:2]
    assert found["data"][0]["input"] == TEXTS[expected[0]]
    assert (found["top_k"], found["return_input"], found["object"]) == (2, True, "list")
    plain = post(http, "/mixedbread/v1/reranking", {"query": QUERY, "input": TEXTS})
    assert plain["data"][0]["input"] is None


def test_tei(http: httpx2.Client, expected: list[int], model: str) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    shares = post(http, "/rerank", body)
    assert [row["index"] for row in shares] == expected
    assert "text" not in shares[0]
    logits = post(http, "/tei/rerank", {**body, "raw_scores": True, "return_text": True})
    assert logits[0]["text"] == TEXTS[expected[0]]
    assert [r["score"] for r in logits] != [r["score"] for r in shares]
    empty = http.post("/rerank", json={"query": "q", "texts": []})
    assert (empty.status_code, empty.json()["error_type"]) == (400, "Empty")
    info = http.get("/info").json()
    assert "reranker" in info["model_type"]
    assert info["max_client_batch_size"] == 10_000
    assert info["max_input_length"] == Reranker(model).base.max_length


def test_infinity(http: httpx2.Client, expected: list[int]) -> None:
    found = post(http, "/rerank", {**ASK, "return_documents": True, "raw_scores": True})
    assert found["object"] == "rerank"
    assert found["results"][0]["document"] == TEXTS[expected[0]]
    assert post(http, "/infinity/rerank", ASK)["results"][0]["document"] is None
    wrong = http.post("/infinity/rerank", json={"query": "q"})
    assert wrong.json()["error"]["type"] == "invalid_request_error"


def test_vllm(http: httpx2.Client, expected: list[int]) -> None:
    found = post(http, "/v1/rerank", {**ASK, "use_activation": False, "top_n": 0})
    assert found["id"].startswith("score-")
    assert [row["index"] for row in found["results"]] == expected
    assert found["results"][0]["document"]["text"] == TEXTS[expected[0]]
    one = post(http, "/vllm/rerank", {**ASK, "documents": TEXTS[0]})
    assert len(one["results"]) == 1


def test_vllm_scores_pairs_in_the_order_given(http: httpx2.Client, expected: list[int]) -> None:
    for keys in (("text_1", "text_2"), ("queries", "documents"), ("data_1", "data_2")):
        found = post(http, "/score", {keys[0]: QUERY, keys[1]: TEXTS})
        scores = [row["score"] for row in found["data"]]
        assert sorted(range(len(TEXTS)), key=lambda i: -scores[i]) == expected
    each = post(http, "/v1/score", {"text_1": [QUERY] * 4, "text_2": TEXTS})
    assert [row["score"] for row in each["data"]] == pytest.approx(scores, abs=1e-4)
    uneven = http.post("/score", json={"text_1": ["a", "b"], "text_2": TEXTS})
    assert uneven.status_code == 400
    assert "2 texts" in uneven.json()["error"]["message"]


def test_weaviates_container_answers_in_the_order_of_the_request(
    http: httpx2.Client, expected: list[int]
) -> None:
    content = (
        '{"query": "a river and the sea", "documents": ["the sea", "bread"], "property": ""}'
    )
    response = http.post("/rerank", content=content)
    assert "content-type" not in response.request.headers
    found = response.json()
    assert [row["document"] for row in found["scores"]] == ["the sea", "bread"]
    assert found["property"] is None
    one = post(http, "/weaviate-reranker/rerank", {"query": QUERY, "property": "the sea"})
    assert one["score"] == pytest.approx(found["scores"][0]["score"], abs=1e-4)
    assert one["scores"] is None
    wrong = http.post("/rerank", json={"query": 3, "documents": ["a"], "property": ""})
    assert isinstance(wrong.json()["error"], str)
    assert http.get("/.well-known/ready").status_code == 204
    assert http.get("/.well-known/live").status_code == 204
    assert isinstance(http.get("/meta").json(), dict)


def test_the_union_answer_serves_all_that_share_a_path(http: httpx2.Client) -> None:
    found = post(http, "/v1/rerank", ASK)
    assert {"id", "object", "model", "results", "data", "usage", "meta"} <= found.keys()


@pytest.mark.parametrize("path", [*RESULTS, *DATA, "/v1/reranking", "/tei/rerank"])
@pytest.mark.parametrize(
    "change",
    [
        {"query": "  "},
        {"query": None},
        {"query": 7},
        {"documents": [], "input": [], "texts": []},
        {"documents": None, "input": None, "texts": None},
        {"documents": {"a": 1}, "input": 3, "texts": "one"},
        {"documents": [None], "input": [None], "texts": [None]},
        {"documents": [["nested"]], "input": [["nested"]], "texts": [["nested"]]},
        {"top_n": -1, "top_k": -1, "texts": [1]},
        {"top_n": "two", "top_k": "two", "texts": [1]},
        {
            "return_documents": "yes",
            "return_input": "yes",
            "return_text": "yes",
            "use_activation": "yes",
        },
    ],
)
def test_what_cannot_be_used_is_400_in_the_dialects_own_words(
    http: httpx2.Client, path: str, change: dict[str, Any]
) -> None:
    other = {"/tei/rerank": "texts", "/v1/reranking": "input"}.get(path, "documents")
    body: dict[str, Any] = {"query": QUERY, "model": "m", other: TEXTS, **change}
    for name in {"documents", "texts", "input"} - {other}:
        body.pop(name, None)
    response = http.post(path, json=body)
    assert response.status_code == 400, response.text
    found = response.json()
    told = found.get("message") or found["error"]
    assert told if isinstance(told, str) else told["message"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 99]
)
@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/score"])
def test_a_body_that_is_no_json_object(http: httpx2.Client, path: str, content: bytes) -> None:
    response = http.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400


def test_texts_that_are_odd_are_answered(http: httpx2.Client) -> None:
    odd = ["", " ", "\u0000", "ünïcode 日本", "x" * 50_000]
    found = post(http, "/v1/rerank", {**ASK, "documents": odd})
    assert sorted(row["index"] for row in found["results"]) == list(range(len(odd)))
    content = b'{"query": "\\ud800 sea", "documents": ["\\udfff", "sea"]}'
    assert http.post("/v1/rerank", content=content).status_code == 200


def test_slashes_do_not_matter(http: httpx2.Client) -> None:
    assert post(http, "//v1//rerank/", ASK)["results"]


def test_the_servers_own_interface(http: httpx2.Client, expected: list[int]) -> None:
    body = {"query": QUERY, "documents": TEXTS, "top_k": 1, "return_documents": True}
    found = post(http, "/api/v1/rerank", body)
    assert found["results"][0]["document"]["text"] == TEXTS[expected[0]]
    assert found["status"] == "reranked"
    for wrong in ({"query": ""}, {"documents": []}, {"top_k": 0}, {"strange": 1}, {"query": 1}):
        response = http.post("/api/v1/rerank", json={**body, **wrong})
        assert (response.status_code, response.json()["error"]) == (400, "invalid")
        assert next(iter(wrong)) in response.json()["message"]
    blank = http.post("/api/v1/rerank", json={**body, "query": " "})
    assert blank.status_code == 400
    document = http.get("/api/v1/openapi.json").json()
    assert "/api/v1/rerank" in document["paths"]


def test_models_health_and_counts(http: httpx2.Client, model: str) -> None:
    listed = http.get("/v1/models").json()
    assert listed["data"][0]["id"] == listed["models"][0]["name"] == model
    assert http.get("/api/v1/models").json() == {"models": [model]}
    assert http.get("/health").json()["status"] == "ok"
    assert http.get("/ready").json() == {"ready": True}
    post(http, "/tei/rerank", {"query": QUERY, "texts": TEXTS})
    counts = http.get("/metrics").text
    assert 'secondpass_requests_total{dialect="tei",status="200"}' in counts
    assert "secondpass_queue_waiting_tokens 0.0" in counts
