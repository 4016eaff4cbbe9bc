"""Which dialect a request on a shared path speaks; the first rule that fits decides."""

from __future__ import annotations

from collections.abc import Mapping

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects import (
    cohere,
    infinity,
    tei,
    union,
    vllm,
    voyage,
    weaviate_container,
)
from secondpass.server.rerank_dialects.responses import Dialect

_VOYAGE = ("top_k", "truncation")
_COHERE = ("rank_fields", "max_chunks_per_doc")
_VLLM = ("truncate_prompt_tokens", "use_activation", "max_tokens_per_query")


def on_v1_rerank(body: Body, headers: Mapping[str, str]) -> Dialect:
    """Tell Cohere's version 1, Jina, Voyage and vLLM apart on `/v1/rerank`."""
    if body.has(*_VOYAGE):
        return voyage.VOYAGE
    agent = headers.get("user-agent", "").lower()
    fern = headers.get("x-fern-sdk-name", "").lower() == "cohere"
    if body.has(*_COHERE) or fern or agent.startswith("cohere/"):
        return cohere.V1
    if body.has(*_VLLM):
        return vllm.VLLM
    return union.UNION


def on_rerank(body: Body, headers: Mapping[str, str]) -> Dialect:
    """Tell TEI, Weaviate's container, Voyage and Infinity apart on `/rerank`."""
    if body.has("texts"):
        return tei.TEI
    if body.has("property"):
        return weaviate_container.WEAVIATE
    if body.has(*_VOYAGE):
        return voyage.VOYAGE
    if body.has(*_VLLM):
        return vllm.VLLM
    return infinity.INFINITY
