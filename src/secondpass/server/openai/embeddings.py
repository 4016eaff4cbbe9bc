"""OpenAI's embeddings, computed by the embedder of the indexes; Infinity's form of them."""

from __future__ import annotations

import time
from typing import Any

from secondpass.server.openai.schemas import EmbeddingRequest
from secondpass.server.request_context import RequestContext
from secondpass.server.state import EMBEDDER, ServerState
from secondpass.server.vectors import embed_texts, encode_base64


def embed(
    state: ServerState, context: RequestContext, request: EmbeddingRequest
) -> dict[str, Any]:
    """Return the response with the vectors; blocks. Raises HttpError as `embed_texts` does."""
    embedded = embed_texts(
        state, context, request.texts, model=request.model, dimensions=request.dimensions
    )
    vectors = embedded.vectors
    encoded = map(encode_base64, vectors) if request.format == "base64" else vectors.tolist()
    rows = [
        {"object": "embedding", "index": index, "embedding": embedding}
        for index, embedding in enumerate(encoded)
    ]
    return {
        "object": "list",
        "data": rows,
        "model": request.model or EMBEDDER,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }


def infinity_embed(
    state: ServerState, context: RequestContext, request: EmbeddingRequest
) -> dict[str, Any]:
    """Return the response with the fields that Infinity's has too; blocks."""
    head = {"id": f"infinity-{context.id}", "created": int(time.time())}
    return {**embed(state, context, request), **head}
