"""One reranker for each provider, pointed at a loopback server."""

from __future__ import annotations

from typing import Any

from secondpass.policies import HostedReranker
from secondpass.rerank.hosted import RetryPolicy
from secondpass.rerank.hosted.cloudflare import Cloudflare
from secondpass.rerank.hosted.cohere import Cohere
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
}
QUICK = RetryPolicy(2, first=0.001, longest=0.002)


def client(name: str, server: Loopback, **options: Any) -> HostedReranker:
    """Return the reranker; its waits between attempts are short."""
    prefix = name.removesuffix("-v1")
    model = f"{prefix}/{MODELS[name]}" if MODELS[name] else prefix
    if name == "cohere-v1":
        options["provider"], model = Cohere(version=1), MODELS[name]
    if name == "cloudflare":
        options["provider"], model = Cloudflare(account="acc"), MODELS[name]
    if name not in ("weaviate", "tei", "infinity", "vllm"):
        options.setdefault("api_key", KEY)
    options.setdefault("retries", QUICK)
    return HostedReranker(model, base_url=f"{server.url}/{prefix}", **options)
