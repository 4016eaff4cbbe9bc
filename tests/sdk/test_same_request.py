"""Our clients send what the official ones send for the same call.

The official clients are in the dependency group "sdk", which brings some 60 packages; what
is not installed is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.leftovers import swept  # noqa: F401
from tests.loopback.clients import client
from tests.loopback.dialects import KEY
from tests.loopback.server import Loopback, Seen, running

QUERY = "the capital of France"
TEXTS = ["Berlin", "Paris is the capital of France.", "Ünïcode 日本"]
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as server:
        yield server


def compare(server: Loopback, name: str, theirs: list[tuple[int, float]]) -> Seen:
    """Check that ours is the same request, and the same answer from it; return theirs."""
    response = client(name, server, retries=0).rerank(QUERY, TEXTS)
    their, our = server.seen
    assert (our.method, our.path) == (their.method, their.path)
    assert our.json == their.json
    for header in ("authorization", "content-type"):
        assert our.headers[header] == their.headers[header]
    assert [(r.index, r.score) for r in response.results] == theirs
    return their


def pairs(rows: Any, score: str) -> list[tuple[int, float]]:
    return [(row.index, getattr(row, score)) for row in rows]


def test_cohere_v2(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    sdk = cohere.ClientV2(api_key=KEY, base_url=f"{server.url}/cohere", max_retries=0)
    found = sdk.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    compare(server, "cohere", pairs(found.results, "relevance_score"))


def test_cohere_v1(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    sdk = cohere.Client(api_key=KEY, base_url=f"{server.url}/cohere", max_retries=0)
    found = sdk.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    compare(server, "cohere-v1", pairs(found.results, "relevance_score"))


def test_cohere_v1_with_fields(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    sdk = cohere.Client(api_key=KEY, base_url=f"{server.url}/cohere", max_retries=0)
    documents = [{"title": "A", "text": t} for t in TEXTS]
    sdk.rerank(
        model="rerank-v3.5", query=QUERY, documents=documents, rank_fields=["title", "text"]
    )
    client("cohere-v1", server).rerank(QUERY, documents, fields=["title", "text"])
    their, our = server.seen
    assert our.json == their.json


def test_voyage(server: Loopback) -> None:
    voyageai = pytest.importorskip("voyageai")
    sdk = voyageai.Client(api_key=KEY, base_url=f"{server.url}/voyage")
    found = sdk.rerank(QUERY, TEXTS, model="rerank-2.5")
    compare(server, "voyage", pairs(found.results, "relevance_score"))


def test_mixedbread(server: Loopback) -> None:
    mixedbread = pytest.importorskip("mixedbread")
    sdk = mixedbread.Mixedbread(api_key=KEY, base_url=f"{server.url}/mixedbread", max_retries=0)
    found = sdk.rerank(
        model="mixedbread-ai/mxbai-rerank-large-v2",
        query=QUERY,
        input=TEXTS,
        top_k=len(TEXTS),
        return_input=False,
    )
    compare(server, "mixedbread", pairs(found.data, "score"))
