"""OpenAI's embeddings, by the embedder of the indexes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.routing import Route

from secondpass.inference.tokenizer import clean
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.openai.responses import fail
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.scheduler.scheduled_models import ScheduledEncoder
from secondpass.server.state import EMBEDDER, ServerState

_FORMATS = ("float", "base64")


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to turn into vectors; `format` is "float" or "base64"."""

    texts: tuple[str, ...]
    model: str
    format: str
    dimensions: int | None


def routes(handler: RequestHandler) -> list[Route]:
    """Return the route of embeddings."""

    async def work(context: RequestContext) -> Any:
        request = read(await handler.body(context))
        state = handler.state
        if state.settings.strict and request.model != EMBEDDER:
            raise HttpError(404, "unknown model", f"the only model here is {EMBEDDER}")
        state.check_count(len(request.texts), context.caller.max_documents)
        return await handler.done(context, lambda: embed(state, request))

    endpoint = handler.endpoint("openai-embeddings", fail, "rerank", work)
    return [Route("/v1/embeddings", endpoint, methods=["POST"])]


def read(body: Body) -> EmbeddingRequest:
    """Read a request; raises `HttpError` (400) for what is no text, among it tokens."""
    form = body.text("encoding_format", "float")
    if form not in _FORMATS:
        raise invalid(f"encoding_format must be one of {', '.join(_FORMATS)}")
    name = body.maybe_text("model")
    texts = _texts(body.found.get("input"))
    return EmbeddingRequest(
        texts=tuple(map(clean, texts)),
        model=clean(name) if name else EMBEDDER,
        format=form,
        dimensions=body.count("dimensions"),
    )


def embed(state: ServerState, request: EmbeddingRequest) -> dict[str, Any]:
    """Return the vectors; blocks. Raises Problem for `dimensions` but the model's own."""
    if not state.ready:
        raise HttpError(503, "starting", "the models are being loaded", retry_after=1)
    model = state.embedder()
    if request.dimensions not in (None, model.dimension):
        raise invalid(f"dimensions can only be {model.dimension}, those that {EMBEDDER} has")
    read_tokens = sum(len(ids) for ids, _ in model.sequences(request.texts))
    vectors = ScheduledEncoder(model, state.queue).encode(request.texts)
    rows = [
        {"object": "embedding", "index": place, "embedding": _written(vector, request.format)}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": read_tokens, "total_tokens": read_tokens}
    return {"object": "list", "data": rows, "model": request.model, "usage": usage}


def _texts(value: Any) -> Sequence[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise invalid("input must be a text, or a list of at least one text")
    for place, one in enumerate(values):
        if isinstance(one, int | list):
            raise invalid(
                "input has tokens, which are those of another model: send texts "
                "(in LangChain: check_embedding_ctx_length=False)"
            )
        if not isinstance(one, str) or not one:
            raise invalid(f"input[{place}] must be a text that is not empty")
    return values


def _written(vector: NDArray[np.float32], form: str) -> list[float] | str:
    if form == "float":
        return [float(number) for number in vector]
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
