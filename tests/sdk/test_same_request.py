"""Our clients send what the official ones send for the same call.

The official clients are in the dependency group "sdk", which brings some 60 packages; what
is not installed is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.leftovers import swept  # noqa: F401
from tests.loopback.clients import client, use_aws
from tests.loopback.cloud_dialects import AWS_ID, AWS_SECRET, REGION
from tests.loopback.dialects import KEY
from tests.loopback.server import Loopback, Seen, running

QUERY = "the capital of France"
TEXTS = ["Berlin", "Paris is the capital of France.", "Ünïcode 日本"]
pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("error::ResourceWarning"),
    pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as server:
        yield server


def compare(
    server: Loopback,
    name: str,
    theirs: list[tuple[int, float]],
    *headers: str,
) -> Seen:
    """Check that ours is the same request, and the same answer from it; return theirs.

    `headers` are more headers to compare.
    """
    response = client(name, server, retries=0).rerank(QUERY, TEXTS)
    their, our = server.seen
    assert (our.method, our.path) == (their.method, their.path)
    assert our.json == their.json
    for header in ("authorization", "content-type", *headers):
        # The charset of JSON is UTF-8, whether or not it is named.
        theirs_alone = their.headers.get(header, "").partition(";")[0]
        assert our.headers.get(header, "") == theirs_alone, header
    assert [(r.index, r.score) for r in response.results] == theirs
    return their


def pairs(rows: Any, score: str) -> list[tuple[int, float]]:
    return [(row.index, getattr(row, score)) for row in rows]


def test_cohere_v2(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    with cohere.ClientV2(api_key=KEY, base_url=f"{server.url}/cohere", max_retries=0) as sdk:
        found = sdk.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    compare(server, "cohere", pairs(found.results, "relevance_score"))


def test_cohere_v1(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    with cohere.Client(api_key=KEY, base_url=f"{server.url}/cohere", max_retries=0) as sdk:
        found = sdk.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    compare(server, "cohere-v1", pairs(found.results, "relevance_score"))


def test_cohere_v1_with_fields(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    documents = [{"title": "A", "text": t} for t in TEXTS]
    with cohere.Client(api_key=KEY, base_url=f"{server.url}/cohere", max_retries=0) as sdk:
        sdk.rerank(
            model="rerank-v3.5", query=QUERY, documents=documents, rank_fields=["title", "text"]
        )
    client("cohere-v1", server).rerank(QUERY, documents, fields=["title", "text"])
    their, our = server.seen
    assert our.json == their.json


def test_voyage(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    voyageai = pytest.importorskip("voyageai")
    import requests

    # Its own session stays open for as long as the thread.
    with requests.Session() as session:
        monkeypatch.setattr(voyageai, "requestssession", session)
        sdk = voyageai.Client(api_key=KEY, base_url=f"{server.url}/voyage")
        found = sdk.rerank(QUERY, TEXTS, model="rerank-2.5")
    compare(server, "voyage", pairs(found.results, "relevance_score"))


def test_mixedbread(server: Loopback) -> None:
    mixedbread = pytest.importorskip("mixedbread")
    base_url = f"{server.url}/mixedbread"
    with mixedbread.Mixedbread(api_key=KEY, base_url=base_url, max_retries=0) as sdk:
        found = sdk.rerank(
            model="mixedbread-ai/mxbai-rerank-large-v2",
            query=QUERY,
            input=TEXTS,
            top_k=len(TEXTS),
            return_input=False,
        )
    compare(server, "mixedbread", pairs(found.data, "score"))


def test_azure_by_coheres_client(server: Loopback) -> None:
    cohere = pytest.importorskip("cohere")
    base_url = f"{server.url}/azure/providers/cohere"
    with cohere.ClientV2(api_key=KEY, base_url=base_url, max_retries=0) as sdk:
        found = sdk.rerank(model="Cohere-rerank-v4.0-pro", query=QUERY, documents=TEXTS)
    compare(server, "azure", pairs(found.results, "relevance_score"))


def test_bedrock(server: Loopback) -> None:
    use_aws()
    import boto3
    from botocore.config import Config

    sdk = boto3.client(
        "bedrock-agent-runtime",
        region_name=REGION,
        endpoint_url=f"{server.url}/bedrock",
        aws_access_key_id=AWS_ID,
        aws_secret_access_key=AWS_SECRET,
        config=Config(retries={"max_attempts": 0}),
    )
    arn = f"arn:aws:bedrock:{REGION}::foundation-model/cohere.rerank-v3-5:0"
    with closing(sdk):
        found = ask_bedrock(sdk, arn)
    # The server has checked both signatures, which have the time in them.
    theirs = [(row["index"], row["relevanceScore"]) for row in found["results"]]
    response = client("bedrock", server, retries=0).rerank(QUERY, TEXTS)
    their, our = server.seen
    assert (our.method, our.path, our.json) == (their.method, their.path, their.json)
    assert [(r.index, r.score) for r in response.results] == theirs
    scope = our.headers["authorization"].partition(", ")[0]
    assert their.headers["authorization"].startswith(scope)


def ask_bedrock(sdk: Any, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = sdk.rerank(
        queries=[{"type": "TEXT", "textQuery": {"text": QUERY}}],
        sources=[
            {
                "type": "INLINE",
                "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}},
            }
            for text in TEXTS
        ],
        rerankingConfiguration={
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {
                "numberOfResults": len(TEXTS),
                "modelConfiguration": {"modelArn": arn},
            },
        },
    )
    return found


def test_pinecone(server: Loopback) -> None:
    pinecone = pytest.importorskip("pinecone")
    with pinecone.Pinecone(api_key=KEY, host=f"{server.url}/pinecone") as sdk:
        found = sdk.inference.rerank(
            model="pinecone-rerank-v0",
            query=QUERY,
            documents=TEXTS,
            top_n=len(TEXTS),
            return_documents=False,
            parameters={"truncate": "END"},
        )
    compare(server, "pinecone", pairs(found.data, "score"), "api-key")


def test_zeroentropy(server: Loopback) -> None:
    zeroentropy = pytest.importorskip("zeroentropy")
    base_url = f"{server.url}/zeroentropy"
    with zeroentropy.ZeroEntropy(api_key=KEY, base_url=base_url, max_retries=0) as sdk:
        found = sdk.models.rerank(model="zerank-2", query=QUERY, documents=TEXTS)
    compare(server, "zeroentropy", pairs(found.results, "relevance_score"))


def test_contextual(server: Loopback) -> None:
    contextual = pytest.importorskip("contextual")
    asked: Any = {"model": "ctxl-rerank-v2-instruct-multilingual", "query": QUERY}
    asked |= {"documents": TEXTS, "top_n": len(TEXTS)}
    base_url = f"{server.url}/contextual"
    with contextual.ContextualAI(api_key=KEY, base_url=base_url, max_retries=0) as sdk:
        found = sdk.rerank.create(**asked)
        compare(server, "contextual", pairs(found.results, "relevance_score"))
        sdk.rerank.create(**asked, instruction="Prefer capitals.")
    client("contextual", server).rerank(QUERY, TEXTS, instructions="Prefer capitals.")
    assert server.seen[-1].json == server.seen[-2].json


def test_dashscope(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    dashscope = pytest.importorskip("dashscope")
    import requests

    monkeypatch.setattr(dashscope, "base_http_api_url", f"{server.url}/dashscope")
    asked: Any = {"model": "qwen3-rerank", "query": QUERY, "documents": TEXTS}
    asked |= {"api_key": KEY, "top_n": len(TEXTS), "return_documents": False}
    # Its own session stays open for as long as the process.
    with requests.Session() as session:
        found = dashscope.TextReRank.call(**asked, session=session)
        assert found.status_code == 200, found
        compare(server, "dashscope", pairs(found.output.results, "relevance_score"))
        dashscope.TextReRank.call(**asked, instruct="Prefer capitals.", session=session)
    client("dashscope", server).rerank(QUERY, TEXTS, instructions="Prefer capitals.")
    assert server.seen[-1].json == server.seen[-2].json
