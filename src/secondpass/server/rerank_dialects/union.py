"""What the APIs on a shared path have in common, and clients that have no API of their own.

Bodies of RAGFlow, Xinference, SiliconFlow, Dify, Open WebUI and llama.cpp's server come here.
"""

from __future__ import annotations

from typing import Any

from secondpass.server.request_fields import NoEffect, RequestFields
from secondpass.server.rerank_dialects.cohere import write_v1
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import (
    INSTRUCTION,
    MAX_CHUNKS_PER_DOC,
    MAX_TOKENS_PER_DOC,
    PRIORITY,
    SHARED_FIELDS,
    TOP_N_OR_ALL,
    TRUNCATION,
    USER,
    parse_request,
)
from secondpass.server.rerank_dialects.voyage import data_rows

_FIELDS = RequestFields(
    "Shared path",
    "/v1/rerank",
    {
        **SHARED_FIELDS,
        "top_n": TOP_N_OR_ALL,
        "max_tokens_per_doc": MAX_TOKENS_PER_DOC,
        "max_chunks_per_doc": MAX_CHUNKS_PER_DOC,
        "truncation": TRUNCATION,
        "instruction": INSTRUCTION,
        "priority": PRIORITY,
        "user": USER,
        "overlap_tokens": NoEffect("the windows of a document overlap by a quarter"),
        "return_len": NoEffect("`meta.tokens` always has the number of tokens"),
    },
)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return one response that the clients of Cohere, Jina, Voyage and vLLM understand."""
    return {**write_v1(reply), "object": "list", "data": data_rows(reply)}


UNION = rerank_operation("union", _FIELDS, parse_request, write)
