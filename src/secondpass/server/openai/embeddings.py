"""OpenAI's embeddings, computed by the embedder of the indexes."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.openai.schemas import EmbeddingRequest
from secondpass.server.request_context import RequestContext
from secondpass.server.scheduler.scheduled_models import ScheduledEncoder
from secondpass.server.state import EMBEDDER, ServerState


def embed(
    state: ServerState, context: RequestContext, request: EmbeddingRequest
) -> dict[str, Any]:
    """Return the response with the vectors; blocks.

    Raises HttpError: 404 for another model where names are `strict`, 400 for too many texts
    or for `dimensions` other than the model's.
    """
    if state.settings.strict and request.model not in (None, EMBEDDER):
        raise HttpError(404, "unknown model", f"the only model here is {EMBEDDER}")
    state.check_count(len(request.texts), context.caller.max_documents)
    state.check_ready()
    embedder = state.embedder()
    if request.dimensions not in (None, embedder.dimension):
        raise invalid(f"dimensions can only be {embedder.dimension}, those that {EMBEDDER} has")
    tokens = sum(len(ids) for ids, _ in embedder.sequences(request.texts))
    vectors = ScheduledEncoder(embedder, state.queue).encode(request.texts)
    rows = [
        {"object": "embedding", "index": index, "embedding": _encode(vector, request.format)}
        for index, vector in enumerate(vectors)
    ]
    return {
        "object": "list",
        "data": rows,
        "model": request.model or EMBEDDER,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _encode(vector: NDArray[np.float32], encoding: str) -> list[float] | str:
    if encoding == "float":
        return [float(number) for number in vector]
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
