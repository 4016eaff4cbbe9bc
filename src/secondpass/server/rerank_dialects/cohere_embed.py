"""Cohere, versions 1 and 2 of its embed endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from secondpass.inference.types import Float32
from secondpass.server.http_errors import default_error, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
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


def parse_v1(body: Body) -> EmbedRequest:
    """Parse a request of version 1; raises HttpError (400)."""
    return _parse(body)


def parse_v2(body: Body) -> EmbedRequest:
    """Parse a request of version 2, in which `model` is required; raises HttpError (400)."""
    body.text("model")
    return _parse(body, version=2)


def _parse(body: Body, version: int = 1) -> EmbedRequest:
    kind = body.maybe_text("input_type")
    if kind == "image" or body.fields.get("images"):
        raise invalid("images cannot be embedded: the embedder here reads texts only")
    if kind is not None and kind not in _INPUT_TYPES:
        raise invalid(
            f"input_type must be one of {', '.join(_INPUT_TYPES)}, not {kind!r}"[:200]
        )
    texts, has_inputs = body.texts("texts"), False
    if version == 2 and body.fields.get("inputs") is not None:
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
        ("float",) if version == 2 and not types else types or None,
        Cut(truncate.lower()),
        model=body.maybe_text("model"),
        dimensions=body.count("output_dimension") if version == 2 else None,
        max_tokens=body.count("max_tokens") if version == 2 else None,
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
                raise invalid(
                    f"inputs[{position}] has content that is not text: the embedder here reads "
                    "texts only"
                )
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
    if embedded.warnings:
        meta["warnings"] = embedded.warnings
    vectors, types = embedded.vectors, request.types
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
    name: str, parse: Callable[[Body], EmbedRequest], version: Mapping[str, Any]
) -> Operation[EmbedRequest, dict[str, Any]]:
    return Operation(
        dialect=name,
        fail=default_error,
        scope="rerank",
        parse=lambda context, body: parse(body),
        run=partial(_embed, version),
    )


COHERE_EMBED_V1 = _operation("cohere-embed-v1", parse_v1, {"version": "1"})
COHERE_EMBED_V2 = _operation(
    "cohere-embed-v2", parse_v2, {"version": "2", "is_experimental": False}
)
