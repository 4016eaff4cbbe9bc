"""Text Embeddings Inference (TEI): its endpoints for embeddings and similarities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.option_types import Choice, Count, Flag
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import Honored, Refused, RequestFields
from secondpass.server.request_handler import Operation
from secondpass.server.rerank_dialects.tei import STATUSES, error_body
from secondpass.server.state import ServerState
from secondpass.server.vectors import Cut, embed_texts

_TRUNCATE = Honored("false: a text that is too long is an error", Flag())
_DIRECTION = Honored("which end of a long text is not read", Choice(("Right", "Left")))
_PROMPT = Refused("the embedder here has no prompts")
_EMBED_FIELDS = RequestFields(
    "Text Embeddings Inference, embed",
    "/tei/embed",
    {
        "inputs": Honored("a text or a list of texts", required=True),
        "truncate": _TRUNCATE,
        "truncation_direction": _DIRECTION,
        "prompt_name": _PROMPT,
        "normalize": Refused("the vectors here have unit length", unless=(True,)),
        "dimensions": Honored("that of the embedder; others are an error", Count()),
    },
)
_SIMILARITY_FIELDS = RequestFields(
    "Text Embeddings Inference, similarity",
    "/tei/similarity",
    {
        "inputs.source_sentence": Honored("the text that the others are compared with"),
        "inputs.sentences": Honored("the texts to compare with it"),
        "parameters.truncate": _TRUNCATE,
        "parameters.truncation_direction": _DIRECTION,
        "parameters.prompt_name": _PROMPT,
    },
)


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
    dimensions = body.count("dimensions")
    return EmbedRequest(_texts(body, "inputs"), _parse_cut(body), dimensions)


def parse_similarity(context: RequestContext, body: Body) -> EmbedRequest:
    """Parse a request for the similarities of sentences to one; raises HttpError."""
    if not body.has("inputs"):
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
    if not body.flag("truncate", True):
        return Cut.NONE
    left = body.text("truncation_direction", "Right") == "Left"
    return Cut.START if left else Cut.END


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
    dialect="tei-embed",
    fail=error_body,
    statuses=STATUSES,
    scope="rerank",
    fields=_EMBED_FIELDS,
    parse=parse_embed,
    run=_embed,
)
TEI_SIMILARITY = Operation(
    dialect="tei-similarity",
    fail=error_body,
    statuses=STATUSES,
    scope="rerank",
    fields=_SIMILARITY_FIELDS,
    parse=parse_similarity,
    run=_compare,
)


def is_similarity(body: Body) -> bool:
    """Return whether a request without a path of its own asks for similarities."""
    return isinstance(body.fields.get("inputs"), Mapping)
