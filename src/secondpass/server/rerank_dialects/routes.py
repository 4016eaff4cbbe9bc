"""Paths of rerank and embed endpoints: one dialect a path, or several on a shared path.

On a shared path the fields of the body decide, see `choose_by_fields`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.routing import Route

from secondpass.server.http_json import Body
from secondpass.server.request_fields import choose_by_fields
from secondpass.server.request_handler import Operation, RequestHandler, SharedPath
from secondpass.server.rerank_dialects.bedrock import BEDROCK
from secondpass.server.rerank_dialects.cohere import COHERE_V1, COHERE_V2
from secondpass.server.rerank_dialects.cohere_embed import COHERE_EMBED_V1, COHERE_EMBED_V2
from secondpass.server.rerank_dialects.infinity import INFINITY
from secondpass.server.rerank_dialects.jina import JINA
from secondpass.server.rerank_dialects.mixedbread import MIXEDBREAD
from secondpass.server.rerank_dialects.nvidia import NVIDIA
from secondpass.server.rerank_dialects.operation import RerankOperation
from secondpass.server.rerank_dialects.pinecone import PINECONE
from secondpass.server.rerank_dialects.tei import TEI
from secondpass.server.rerank_dialects.tei_embed import (
    TEI_EMBED,
    TEI_SIMILARITY,
    is_similarity,
)
from secondpass.server.rerank_dialects.tei_predict import TEI_PREDICT
from secondpass.server.rerank_dialects.union import UNION
from secondpass.server.rerank_dialects.vllm import VLLM
from secondpass.server.rerank_dialects.vllm_score import VLLM_SCORE
from secondpass.server.rerank_dialects.voyage import VOYAGE
from secondpass.server.rerank_dialects.weaviate_container import WEAVIATE_CONTAINER

_PATHS: Mapping[str, Operation[Any, Any]] = {
    "/cohere/v1/rerank": COHERE_V1,
    "/cohere/v2/rerank": COHERE_V2,
    # Where clients look for Cohere on Azure AI Foundry.
    "/providers/cohere/v1/rerank": COHERE_V1,
    "/providers/cohere/v2/rerank": COHERE_V2,
    "/jina/v1/rerank": JINA,
    "/voyage/v1/rerank": VOYAGE,
    "/mixedbread/v1/reranking": MIXEDBREAD,
    "/pinecone/rerank": PINECONE,
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
_CONTAINER_PATH = "/weaviate-reranker/rerank"
# Clients of Cohere that its SDK sends: from its name, or the user agent's.
_COHERE = "cohere"
_PINECONE_HEADER = "x-pinecone-api-version"


def routes(handler: RequestHandler) -> list[Route]:
    """Return the routes of all rerank dialects."""
    # Weaviate's database sends no key: the settings may let it in without one.
    keyless = handler.state.settings.weaviate_open
    container = replace(WEAVIATE_CONTAINER, keyless=keyless)
    # As much as at the path of the container alone, which is open then, too.
    bound = handler.state.settings.max_body if keyless else None
    v1 = _shared_path([UNION, COHERE_V1, JINA, VOYAGE, VLLM], cohere=COHERE_V1)
    v2 = _shared_path([COHERE_V2, VLLM], cohere=COHERE_V2)
    reranking = _shared_path([MIXEDBREAD, UNION])
    bare = _shared_path(
        [INFINITY, TEI, container, VOYAGE, VLLM, COHERE_V1, PINECONE, BEDROCK, UNION],
        max_keyless_body=bound,
    )
    shared = {
        "/v1/rerank": v1,
        "/v1/v1/rerank": v1,
        "/v2/rerank": v2,
        "/v1/v2/rerank": v2,
        "/v1/reranking": reranking,
        "/reranking": reranking,
        "/rerank": bare,
        "/tei": SharedPath(choose_tei, "rerank", operations=(TEI, TEI_EMBED, TEI_SIMILARITY)),
    }
    endpoints = {path: handler.serve(operation) for path, operation in _PATHS.items()}
    endpoints[_CONTAINER_PATH] = handler.serve(container)
    endpoints |= dict.fromkeys(_SCORE_PATHS, handler.serve(VLLM_SCORE))
    endpoints |= {path: handler.serve_shared(one) for path, one in shared.items()}
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()]


def choose_tei(body: Body, headers: Mapping[str, str]) -> list[Operation[Any, Any]]:
    """Return what a request to TEI's address itself asks for, as Hugging Face's clients do."""
    if body.has("texts"):
        return [TEI]
    return [TEI_SIMILARITY if is_similarity(body) else TEI_EMBED]


def _shared_path(
    operations: Sequence[RerankOperation],
    *,
    cohere: RerankOperation | None = None,
    max_keyless_body: int | None = None,
) -> SharedPath:
    """Return a path of several dialects, the first of which answers what fits several.

    `cohere` answers the SDK of Cohere, which says who it is.
    """
    by_fields = {operation.fields: operation for operation in operations}
    declared = [fields for fields in by_fields if fields is not None]

    def choose(body: Body, headers: Mapping[str, str]) -> list[RerankOperation]:
        if cohere is not None and _is_cohere(headers):
            return [cohere]
        if PINECONE in operations and _PINECONE_HEADER in headers:
            return [PINECONE]
        return [by_fields[choose_by_fields(body, declared)]]

    return SharedPath(
        choose, "rerank", max_keyless_body=max_keyless_body, operations=operations
    )


def _is_cohere(headers: Mapping[str, str]) -> bool:
    agent = headers.get("user-agent", "").lower()
    name = headers.get("x-fern-sdk-name", "").lower()
    return name == _COHERE or agent.startswith(f"{_COHERE}/")
