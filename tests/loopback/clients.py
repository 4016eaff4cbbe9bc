"""One reranker for each provider, pointed at a loopback server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from secondpass.policies import HostedReranker
from secondpass.rerank.hosted import RetryPolicy
from secondpass.rerank.hosted.bedrock import Bedrock
from secondpass.rerank.hosted.cloudflare import Cloudflare
from secondpass.rerank.hosted.cohere import Cohere
from secondpass.rerank.hosted.vertex import Vertex
from tests.loopback.cloud_dialects import AWS_ID, AWS_SECRET, PROJECT, REGION
from tests.loopback.dialects import KEY
from tests.loopback.server import Loopback

MODELS = {
    "cohere": "rerank-v3.5",
    "cohere-v1": "rerank-v3.5",
    "jina": "jina-reranker-v2-base-multilingual",
    "voyage": "rerank-2.5",
    "mixedbread": "mxbai-rerank-large-v2",
    "tei": "",
    "infinity": "m",
    "vllm": "m",
    "weaviate": "",
    "cloudflare": "@cf/baai/bge-reranker-base",
    "azure": "Cohere-rerank-v4.0-pro",
    "bedrock": "cohere.rerank-v3-5:0",
    "contextual": "ctxl-rerank-v2-instruct-multilingual",
    "dashscope": "qwen3-rerank",
    "llama-server": "",
    "localai": "m",
    "nim": "nvidia/llama-3.2-nv-rerankqa-1b-v2",
    "nvidia": "nvidia/llama-3.2-nv-rerankqa-1b-v2",
    "pinecone": "pinecone-rerank-v0",
    "vertex": "semantic-ranker-default-004",
    "zeroentropy": "zerank-2",
}
WITHOUT_KEY = ("weaviate", "tei", "infinity", "vllm", "llama-server", "localai", "nim")
QUICK = RetryPolicy(2, first=0.001, longest=0.002)


def use_aws() -> None:
    """Let the client of AWS be imported, from a folder of its own; skip where there is none.

    It goes behind everything else, so that this alone comes from there.
    """
    folder = str(Path(sys.prefix) / "aws")
    if folder not in sys.path:
        sys.path.append(folder)
    pytest.importorskip("botocore", reason="make test installs AWS's client")


def client(name: str, server: Loopback, **options: Any) -> HostedReranker:
    """Return the reranker; its waits between attempts are short."""
    prefix = name.removesuffix("-v1")
    model = f"{prefix}/{MODELS[name]}" if MODELS[name] else prefix
    if name == "cohere-v1":
        options["provider"], model = Cohere(version=1), MODELS[name]
    if name == "cloudflare":
        options["provider"], model = Cloudflare(account="acc"), MODELS[name]
    if name == "vertex":
        options["provider"], model = Vertex(project=PROJECT), MODELS[name]
    if name == "bedrock":
        use_aws()
        os.environ.update(AWS_ACCESS_KEY_ID=AWS_ID, AWS_SECRET_ACCESS_KEY=AWS_SECRET)
        options["provider"], model = Bedrock(region=REGION), MODELS[name]
    elif name not in WITHOUT_KEY:
        options.setdefault("api_key", KEY)
    options.setdefault("retries", QUICK)
    return HostedReranker(model, base_url=f"{server.url}/{prefix}", **options)
