"""Paths of rerank and embed endpoints: one dialect a path, or several on a shared path.

On a shared path the first rule that fits the request decides which dialect it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.routing import Route

from secondpass.server.http_json import Body
from secondpass.server.request_handler import Choose, Operation, RequestHandler, SharedPath
from secondpass.server.rerank_dialects.bedrock import BEDROCK
from secondpass.server.rerank_dialects.cohere import COHERE_V1, COHERE_V2, write_v1
from secondpass.server.rerank_dialects.cohere_embed import COHERE_EMBED_V1, COHERE_EMBED_V2
from secondpass.server.rerank_dialects.infinity import INFINITY
from secondpass.server.rerank_dialects.jina import JINA
from secondpass.server.rerank_dialects.mixedbread import MIXEDBREAD
from secondpass.server.rerank_dialects.nvidia import NVIDIA
from secondpass.server.rerank_dialects.operation import RerankOperation, rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest, parse_request
from secondpass.server.rerank_dialects.tei import TEI
from secondpass.server.rerank_dialects.tei_embed import (
    TEI_EMBED,
    TEI_SIMILARITY,
    is_similarity,
)
from secondpass.server.rerank_dialects.tei_predict import TEI_PREDICT
from secondpass.server.rerank_dialects.vllm import VLLM
from secondpass.server.rerank_dialects.vllm_score import VLLM_SCORE
from secondpass.server.rerank_dialects.voyage import VOYAGE, data_rows
from secondpass.server.rerank_dialects.weaviate_container import WEAVIATE_CONTAINER

_PATHS: Mapping[str, Operation[Any, Any]] = {
    "/v2/rerank": COHERE_V2,
    "/v1/v2/rerank": COHERE_V2,
    "/cohere/v1/rerank": COHERE_V1,
    "/cohere/v2/rerank": COHERE_V2,
    "/jina/v1/rerank": JINA,
    "/voyage/v1/rerank": VOYAGE,
    "/mixedbread/v1/reranking": MIXEDBREAD,
    "/tei/rerank": TEI,
    "/infinity/rerank": INFINITY,
    "/vllm/rerank": VLLM,
    "/vllm/v1/rerank": VLLM,
    "/vllm/v2/rerank": VLLM,
    "/bedrock/rerank": BEDROCK,
    "/v1/ranking": NVIDIA,
    "/v1/retrieval/{model:path}/reranking": NVIDIA,
    "/nvidia/v1/ranking": NVIDIA,
    "/v1/embed": COHERE_EMBED_V1,
    "/v1/v1/embed": COHERE_EMBED_V1,
    "/cohere/v1/embed": COHERE_EMBED_V1,
    "/v2/embed": COHERE_EMBED_V2,
    "/v1/v2/embed": COHERE_EMBED_V2,
    "/cohere/v2/embed": COHERE_EMBED_V2,
    "/embed": TEI_EMBED,
    "/tei/embed": TEI_EMBED,
    "/similarity": TEI_SIMILARITY,
    "/tei/similarity": TEI_SIMILARITY,
    "/predict": TEI_PREDICT,
    "/tei/predict": TEI_PREDICT,
}
_SCORE_PATHS = ("/score", "/v1/score", "/vllm/score", "/vllm/v1/score")
_BEDROCK_KEYS = ("queries", "sources", "rerankingConfiguration")
_CONTAINER_PATH = "/weaviate-reranker/rerank"
_VOYAGE_KEYS = ("top_k", "truncation")
_COHERE_KEYS = ("rank_fields", "max_chunks_per_doc")
_VLLM_KEYS = ("truncate_prompt_tokens", "use_activation", "max_tokens_per_query")


def routes(handler: RequestHandler) -> list[Route]:
    """Return the routes of all rerank dialects."""
    # Weaviate's database sends no key: the settings may let it in without one.
    keyless = handler.state.settings.weaviate_open
    container = replace(WEAVIATE_CONTAINER, keyless=keyless)

    def choose(body: Body, headers: Mapping[str, str]) -> list[RerankOperation]:
        operation = choose_rerank(body, headers)
        return [container if operation is WEAVIATE_CONTAINER else operation]

    def choose_v1(body: Body, headers: Mapping[str, str]) -> list[RerankOperation]:
        return [choose_v1_rerank(body, headers)]

    shared: Mapping[str, tuple[Choose, bool]] = {
        "/v1/rerank": (choose_v1, False),
        "/v1/v1/rerank": (choose_v1, False),
        "/v1/reranking": (choose_reranking, False),
        "/reranking": (choose_reranking, False),
        "/rerank": (choose, keyless),
        "/tei": (choose_tei, False),
    }
    every = (*_PATHS.values(), UNION, container)
    endpoints = {path: handler.serve(operation) for path, operation in _PATHS.items()}
    endpoints[_CONTAINER_PATH] = handler.serve(container)
    endpoints |= dict.fromkeys(_SCORE_PATHS, handler.serve(VLLM_SCORE))
    for path, (chooser, may_lack_key) in shared.items():
        endpoints[path] = handler.serve_shared(
            SharedPath(chooser, every, "rerank", may_lack_key)
        )
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()]


def choose_v1_rerank(body: Body, headers: Mapping[str, str]) -> RerankOperation:
    """Return the dialect of a request to `/v1/rerank`: Voyage, Cohere, vLLM, or their union."""
    if body.has(*_VOYAGE_KEYS):
        return VOYAGE
    agent = headers.get("user-agent", "").lower()
    fern = headers.get("x-fern-sdk-name", "").lower() == "cohere"
    if body.has(*_COHERE_KEYS) or fern or agent.startswith("cohere/"):
        return COHERE_V1
    if body.has(*_VLLM_KEYS):
        return VLLM
    return UNION


def choose_rerank(body: Body, headers: Mapping[str, str]) -> RerankOperation:
    """Return the dialect of a request to `/rerank`.

    TEI, Weaviate, Bedrock, Voyage, vLLM or Infinity.
    """
    if body.has("texts"):
        return TEI
    if body.has("property"):
        return WEAVIATE_CONTAINER
    if body.has(*_BEDROCK_KEYS):
        return BEDROCK
    if body.has(*_VOYAGE_KEYS):
        return VOYAGE
    if body.has(*_VLLM_KEYS):
        return VLLM
    return INFINITY


def choose_reranking(body: Body, headers: Mapping[str, str]) -> list[RerankOperation]:
    """Return the dialect of a request to `/v1/reranking`: Mixedbread or llama.cpp's server."""
    return [UNION if body.has("documents") and not body.has("input") else MIXEDBREAD]


def choose_tei(body: Body, headers: Mapping[str, str]) -> list[Operation[Any, Any]]:
    """Return what a request to TEI's address itself asks for, as Hugging Face's clients do."""
    if body.has("texts"):
        return [TEI]
    return [TEI_SIMILARITY if is_similarity(body) else TEI_EMBED]


def _parse_union(body: Body) -> RerankRequest:
    return parse_request(body, zero_is_all=True)


def _write_union(reply: RerankReply) -> dict[str, Any]:
    """Return one response that the clients of Cohere, Jina, Voyage and vLLM understand."""
    return {**write_v1(reply), "object": "list", "data": data_rows(reply)}


UNION = rerank_operation("union", _parse_union, _write_union)
