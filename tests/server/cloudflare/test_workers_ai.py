"""Workers AI's reranker and embedders, by the official client and raw."""

from __future__ import annotations

from typing import Any

import httpx2
import numpy as np
import pytest

from secondpass import Embedder
from tests.server.conftest import QUERY, TEXTS

RUN = "/client/v4/accounts/acc/ai/run"
RERANKER, EMBEDDER = "@cf/baai/bge-reranker-base", "@cf/baai/bge-m3"
CONTEXTS = [{"text": text} for text in TEXTS]


def run(url: str, name: str, status: int = 200, **body: Any) -> Any:
    response = httpx2.post(f"{url}{RUN}/{name}", json=body, timeout=30)
    assert response.status_code == status, response.text
    found = response.json()
    assert found["success"] is (status == 200)
    return found["result"] if status == 200 else found["errors"][0]["message"]


def test_the_reranker(url: str, expected: list[int]) -> None:
    rows = run(url, RERANKER, query=QUERY, contexts=CONTEXTS)["response"]
    assert [row["id"] for row in rows] == expected
    assert all(0 <= row["score"] <= 1 for row in rows)
    best = run(url, RERANKER, query=QUERY, contexts=CONTEXTS, top_k=1)["response"]
    assert best == rows[:1]


def test_the_embedder(url: str) -> None:
    vectors = Embedder().encode([QUERY, *TEXTS])
    for text in (TEXTS, TEXTS[0]):
        found = run(url, EMBEDDER, text=text)
        count = len(found["data"])
        assert np.allclose(found["data"], vectors[1 : 1 + count], atol=1e-6)
        assert (found["shape"], found["pooling"]) == ([count, 384], "mean")
    found = run(url, EMBEDDER, contexts=CONTEXTS)
    assert np.allclose(found["response"], vectors[1:], atol=1e-6)
    rows = run(url, EMBEDDER, contexts=CONTEXTS, query=QUERY, top_k=2)["response"]
    cosines = vectors[1:] @ vectors[0]
    assert [row["id"] for row in rows] == np.argsort(-cosines)[:2].tolist()
    assert rows[0]["score"] == pytest.approx(cosines.max(), abs=1e-5)


def test_the_official_client(url: str, expected: list[int]) -> None:
    cloudflare = pytest.importorskip("cloudflare", reason="the group sdk is not installed")
    base = f"{url}/client/v4"
    with cloudflare.Cloudflare(api_token="x", base_url=base, max_retries=0) as client:
        asked = {"query": QUERY, "contexts": CONTEXTS}
        found = client.ai.run(RERANKER, account_id="acc", extra_body=asked)
        assert [row["id"] for row in found["response"]] == expected
        made = client.ai.run(EMBEDDER, account_id="acc", text=TEXTS)
        assert made["shape"] == [len(TEXTS), 384]
        with pytest.raises(cloudflare.BadRequestError, match="neither contexts nor text"):
            client.ai.run("@cf/meta/llama-3", account_id="acc", prompt="Hello")


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        (RERANKER, {"query": QUERY}, "neither contexts nor text"),
        (RERANKER, {"contexts": CONTEXTS}, "query is missing"),
        (RERANKER, {"query": " ", "contexts": CONTEXTS}, "query is blank"),
        (RERANKER, {"query": QUERY, "contexts": []}, "contexts is empty"),
        (RERANKER, {"query": QUERY, "contexts": ["a"]}, "contexts[0] has no text"),
        (RERANKER, {"query": QUERY, "contexts": CONTEXTS, "top_k": 0}, "top_k"),
        (EMBEDDER, {"text": []}, "text is empty"),
        (EMBEDDER, {"text": ["a"], "pooling": "cls"}, "pooling is not supported here"),
        (EMBEDDER, {"text": "river " * 999, "truncate_inputs": False}, "more than 254"),
        (
            RERANKER,
            {"query": f"{QUERY} " * 60, "contexts": CONTEXTS, "truncate_inputs": False},
            "characters would not be read",
        ),
    ],
)
def test_bad_input(url: str, name: str, body: Any, said: str) -> None:
    assert said in run(url, name, 400, **body)


@pytest.mark.parametrize("asked", [{}, {"truncate_inputs": True}])
def test_what_the_reranker_does_not_read_is_told(url: str, asked: dict[str, bool]) -> None:
    body = {"query": f"{QUERY} " * 60, "contexts": CONTEXTS, **asked}
    cut = httpx2.post(f"{url}{RUN}/{RERANKER}", json=body, timeout=30)
    assert "The query is too long" in cut.headers["x-warnings"]
    short = httpx2.post(f"{url}{RUN}/{RERANKER}", json={**body, "query": QUERY}, timeout=30)
    assert "x-warnings" not in short.headers
