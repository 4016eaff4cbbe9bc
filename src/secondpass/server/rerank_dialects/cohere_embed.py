"""Cohere, versions 1 and 2 of its embed endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from secondpass.inference.types import Float32
from secondpass.option_types import Count
from secondpass.server.http_errors import default_error, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_fields import (
    Honored,
    NoEffect,
    Refused,
    RequestField,
    RequestFields,
)
from secondpass.server.request_handler import Operation
from secondpass.server.state import ServerState
from secondpass.server.vectors import (
    Cut,
    embed_texts,
    encode_base64,
    pack_signs,
    quantize_int8,
)

_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
# The signed forms are the unsigned ones less 128, as published.
_ENCODINGS: Mapping[str, Callable[[Float32], list[Any]]] = {
    "float": lambda vectors: vectors.tolist(),
    "int8": quantize_int8,
    "uint8": lambda vectors: _shift(quantize_int8(vectors), 128),
    "binary": lambda vectors: _shift(pack_signs(vectors), -128),
    "ubinary": pack_signs,
    "base64": lambda vectors: [encode_base64(vector) for vector in vectors],
}


_NO_IMAGES = "the embedder here reads texts only"
_MODEL = Honored("the embedder, by name; the only one for names that are none")
_SHARED_FIELDS: Mapping[str, RequestField] = {
    "texts": Honored("the texts to embed"),
    "images": Refused(_NO_IMAGES, unless=([],)),
    "model": _MODEL,
    "input_type": Honored("one of the published types of texts, which are embedded alike"),
    "embedding_types": Honored("the encodings of the vectors"),
    "truncate": Honored("which end of a long text is not read; NONE makes it an error"),
}
_V1_FIELDS = RequestFields("Cohere, embed, version 1", "/cohere/v1/embed", _SHARED_FIELDS)
_V2_FIELDS = RequestFields(
    "Cohere, embed, version 2",
    "/cohere/v2/embed",
    {
        **_SHARED_FIELDS,
        "model": replace(_MODEL, required=True),
        "inputs": Honored("in the place of `texts`: objects with parts of text"),
        "output_dimension": Honored("that of the embedder; others are an error", Count()),
        "max_tokens": Honored("how much of a text is read", Count()),
        "priority": NoEffect("requests wait in one queue, earliest deadline first"),
    },
)


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to embed; `types` are the encodings of the vectors, None for a list of floats.

    `inputs`: whether the texts came as `inputs`, and are not sent back.
    """

    texts: Sequence[str]
    types: Sequence[str] | None
    cut: Cut
    model: str | None = None
    dimensions: int | None = None
    max_tokens: int | None = None
    inputs: bool = False


def parse(body: Body) -> EmbedRequest:
    """Parse a request of either version; raises HttpError (400)."""
    kind = body.maybe_text("input_type")
    if kind == "image":
        raise invalid(f"input_type cannot be image: {_NO_IMAGES}")
    if kind is not None and kind not in _INPUT_TYPES:
        raise invalid(
            f"input_type must be one of {', '.join(_INPUT_TYPES)}, not {kind!r}"[:200]
        )
    texts, has_inputs = body.texts("texts"), False
    if body.fields.get("inputs") is not None:
        if texts is not None:
            raise invalid("give either texts or inputs")
        texts, has_inputs = _input_texts(body.items("inputs")), True
    if texts is None:
        raise invalid("texts is missing")
    if not texts:
        raise invalid(f"{'inputs' if has_inputs else 'texts'} is empty")
    truncate = body.text("truncate", "END")
    if truncate not in ("NONE", "START", "END"):
        raise invalid("truncate must be one of NONE, START, END")
    types = body.texts("embedding_types")
    for name in types or ():
        if name not in _ENCODINGS:
            raise invalid(f"embedding_types has {name!r}, not one of {', '.join(_ENCODINGS)}")
    return EmbedRequest(
        texts,
        types or None,
        Cut(truncate.lower()),
        model=body.maybe_text("model"),
        dimensions=body.count("output_dimension"),
        max_tokens=body.count("max_tokens"),
        inputs=has_inputs,
    )


def _input_texts(inputs: Sequence[Any]) -> tuple[str, ...]:
    texts = []
    for position, one in enumerate(inputs):
        parts = one.get("content") if isinstance(one, Mapping) else None
        if not isinstance(parts, list) or not parts:
            raise invalid(f"inputs[{position}] has no content")
        for part in parts:
            is_text = isinstance(part, Mapping) and part.get("type") == "text"
            if not is_text or not isinstance(part.get("text"), str):
                raise invalid(f"inputs[{position}] has content that is not text: {_NO_IMAGES}")
        texts.append("\n".join(part["text"] for part in parts))
    return tuple(texts)


def _embed(
    version: Mapping[str, Any],
    state: ServerState,
    context: RequestContext,
    request: EmbedRequest,
) -> dict[str, Any]:
    embedded = embed_texts(
        state,
        context,
        request.texts,
        model=request.model,
        dimensions=request.dimensions,
        cut=request.cut,
        max_tokens=request.max_tokens,
    )
    meta: dict[str, Any] = {
        "api_version": dict(version),
        "billed_units": {"input_tokens": embedded.tokens},
    }
    if context.warnings:
        meta["warnings"] = list(context.warnings)
    vectors, types = embedded.vectors, request.types
    if types is None and version["version"] == "2":
        types = ("float",)
    return {
        "id": context.id,
        "response_type": "embeddings_floats" if types is None else "embeddings_by_type",
        "embeddings": vectors.tolist()
        if types is None
        else {name: _ENCODINGS[name](vectors) for name in types},
        "texts": [] if request.inputs else list(request.texts),
        "meta": meta,
    }


def _shift(rows: list[list[int]], by: int) -> list[list[int]]:
    return [[number + by for number in row] for row in rows]


def _operation(
    name: str, fields: RequestFields, version: Mapping[str, Any]
) -> Operation[EmbedRequest, dict[str, Any]]:
    return Operation(
        dialect=name,
        fail=default_error,
        scope="rerank",
        fields=fields,
        parse=lambda context, body: parse(body),
        run=partial(_embed, version),
    )


COHERE_EMBED_V1 = _operation("cohere-embed-v1", _V1_FIELDS, {"version": "1"})
COHERE_EMBED_V2 = _operation(
    "cohere-embed-v2", _V2_FIELDS, {"version": "2", "is_experimental": False}
)
