"""Bedrock's and NVIDIA's forms of reranking."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.server.conftest import QUERY, TEXTS

SOURCES = [
    {
        "type": "INLINE",
        "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}},
    }
    for text in TEXTS
]
BEDROCK: dict[str, Any] = {
    "queries": [{"type": "TEXT", "textQuery": {"text": QUERY}}],
    "sources": SOURCES,
    "rerankingConfiguration": {
        "type": "BEDROCK_RERANKING_MODEL",
        "bedrockRerankingConfiguration": {
            "modelConfiguration": {"modelArn": "arn:aws:bedrock:x::foundation-model/m"},
            "numberOfResults": 2,
        },
    },
}
NVIDIA: dict[str, Any] = {
    "model": "m",
    "query": {"text": QUERY},
    "passages": [{"text": text} for text in TEXTS],
    "truncate": "END",
}


@pytest.mark.parametrize("path", ["/rerank", "/bedrock/rerank"])
def test_bedrock(http: httpx2.Client, path: str, expected: list[int]) -> None:
    results = http.post(path, json=BEDROCK).json()["results"]
    assert [row["index"] for row in results] == expected[:2]
    scores = [row["relevanceScore"] for row in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_bedrock_reads_json(http: httpx2.Client) -> None:
    json_source = {
        "type": "INLINE",
        "inlineDocumentSource": {"type": "JSON", "jsonDocument": {"body": TEXTS[1]}},
    }
    found = http.post("/rerank", json={**BEDROCK, "sources": [json_source]})
    assert [row["index"] for row in found.json()["results"]] == [0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"queries": []}, "queries must have one query"),
        ({"queries": [{"textQuery": {"text": " "}}]}, "is blank"),
        ({"sources": []}, "sources is empty"),
        ({"sources": [{"inlineDocumentSource": {}}]}, r"sources[0] has no inline text"),
        ({"nextToken": "x"}, "nextToken is not supported here"),
    ],
)
def test_bedrock_of_bad_input(http: httpx2.Client, more: Any, said: str) -> None:
    found = http.post("/rerank", json={**BEDROCK, **more})
    assert (found.status_code, said in found.json()["message"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/ranking",
        "/nvidia/v1/ranking",
        "/v1/retrieval/nvidia/reranking",
        "/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking",
    ],
)
def test_nvidia(http: httpx2.Client, path: str, expected: list[int]) -> None:
    rankings = http.post(path, json=NVIDIA).json()["rankings"]
    assert [row["index"] for row in rankings] == expected
    logits = [row["logit"] for row in rankings]
    assert logits == sorted(logits, reverse=True)
    raw = http.post(
        "/tei/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True}
    ).json()
    assert logits == pytest.approx([row["score"] for row in raw])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"query": {}}, "text is missing"),
        ({"query": "a"}, "query must be an object"),
        ({"query": {"text": ""}}, "is blank"),
        ({"passages": []}, "passages is empty"),
        ({"passages": [{}]}, r"passages[0] has no text"),
        ({"passages": [{"text": "a", "image": "data:"}]}, "passages[].image is not"),
        ({"truncate": "START"}, "truncate must be END or NONE"),
        ({"truncate": "NONE", "query": {"text": f"{QUERY} " * 60}}, "query is too long"),
    ],
)
def test_nvidia_of_bad_input(http: httpx2.Client, more: Any, said: str) -> None:
    found = http.post("/v1/ranking", json={**NVIDIA, **more})
    assert (found.status_code, said in found.json()["error"]["message"]) == (400, True)
