"""Text Embeddings Inference (TEI): its endpoints for embeddings and similarities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation
from secondpass.server.rerank_dialects.tei import error_body
from secondpass.server.state import ServerState
from secondpass.server.vectors import Cut, embed_texts


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to embed, or to compare the first of them with each of the others."""

    texts: Sequence[str]
    cut: Cut = Cut.END
    dimensions: int | None = None


def parse_embed(context: RequestContext, body: Body) -> EmbedRequest:
    """Parse a request for vectors; raises HttpError."""
    inputs = body.fields.get("inputs")
    if isinstance(inputs, str):
        body = Body({**body.fields, "inputs": [inputs]})
    elif isinstance(inputs, list) and any(isinstance(one, int | list) for one in inputs):
        raise invalid("inputs has token ids, which are those of another model: send texts")
    if not body.flag("normalize", True):
        raise invalid("normalize can only be true: the vectors here have unit length")
    dimensions = body.count("dimensions")
    return EmbedRequest(_texts(body, "inputs"), _parse_cut(body), dimensions)


def parse_similarity(context: RequestContext, body: Body) -> EmbedRequest:
    """Parse a request for the similarities of sentences to one; raises HttpError."""
    if body.fields.get("inputs") is None:
        raise invalid("inputs is missing")
    inputs = body.part("inputs")
    source, sentences = inputs.text("source_sentence"), _texts(inputs, "sentences")
    return EmbedRequest((source, *sentences), _parse_cut(body.part("parameters")))


def _texts(body: Body, name: str) -> Sequence[str]:
    texts = body.texts(name)
    if texts is None:
        raise invalid(f"{name} is missing")
    if not texts:
        raise HttpError(400, "empty", f"`{name}` is empty")
    return texts


def _parse_cut(body: Body) -> Cut:
    if body.fields.get("prompt_name") is not None:
        raise invalid("prompt_name names no prompt: the embedder here has none")
    direction = body.text("truncation_direction", "Right")
    if direction not in ("Left", "left", "Right", "right"):
        raise invalid("truncation_direction must be Left or Right")
    if not body.flag("truncate", True):
        return Cut.NONE
    return Cut.START if direction.lower() == "left" else Cut.END


def _embed(
    state: ServerState, context: RequestContext, request: EmbedRequest
) -> list[list[float]]:
    embedded = embed_texts(
        state, context, request.texts, dimensions=request.dimensions, cut=request.cut
    )
    rows: list[list[float]] = embedded.vectors.tolist()
    return rows


def _compare(state: ServerState, context: RequestContext, request: EmbedRequest) -> list[float]:
    vectors = embed_texts(state, context, request.texts, cut=request.cut).vectors
    # Of unit vectors the product is the cosine.
    similarities: list[float] = (vectors[1:] @ vectors[0]).tolist()
    return similarities


TEI_EMBED = Operation(
    dialect="tei-embed", fail=error_body, scope="rerank", parse=parse_embed, run=_embed
)
TEI_SIMILARITY = Operation(
    dialect="tei-similarity",
    fail=error_body,
    scope="rerank",
    parse=parse_similarity,
    run=_compare,
)


def is_similarity(body: Body) -> bool:
    """Return whether a request without a path of its own asks for similarities."""
    return isinstance(body.fields.get("inputs"), Mapping)
