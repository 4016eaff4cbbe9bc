"""Rerank requests: what every dialect's body is parsed into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A query and documents to rerank.

    - `originals`: the documents as the client sent them; `documents`: their texts.
    - `top_n`: how many results to return, None for all; `return_documents`: whether to send
      the documents back; `raw_scores`: logits instead of scores from 0 to 1.
    - `whole`: whether a document that the model does not read to its end is an error.
    """

    query: str
    originals: Sequence[Any]
    documents: Sequence[str]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool = False
    raw_scores: bool = False
    whole: bool = False


def parse_request(
    body: Body,
    documents: str = "documents",
    *,
    top_n: str = "top_n",
    return_documents: str = "return_documents",
    rank_fields: str | None = None,
    zero_is_all: bool = False,
) -> RerankRequest:
    """Parse what most dialects share; the arguments name the keys that differ.

    A document is a text or an object; of an object `text` is read, the text parts of
    `content`, or the fields that `rank_fields` names. Numbers and booleans may be strings, as
    some clients send them. `zero_is_all`: whether a `top_n` of 0 means all results. Raises
    HttpError (400) for a blank query, no documents, and a document without text.
    """
    query = body.text("query")
    if not query.strip():
        raise invalid("query is blank")
    originals = body.items(documents)
    if not originals:
        raise invalid(f"{documents} is empty")
    fields = None if rank_fields is None else body.texts(rank_fields)
    if fields is not None and not fields:
        raise invalid(f"{rank_fields} is empty")
    limit = body.count(top_n, minimum=0 if zero_is_all else 1, lenient=True)
    return RerankRequest(
        query,
        originals,
        [_text(one, f"{documents}[{i}]", fields) for i, one in enumerate(originals)],
        model=body.maybe_text("model"),
        top_n=None if limit == 0 else limit,
        return_documents=body.flag(return_documents, lenient=True),
    )


def _text(document: Any, where: str, fields: Sequence[str] | None) -> str:
    if isinstance(document, str):
        return document
    if not isinstance(document, Mapping):
        raise invalid(f"{where} must be a string or an object")
    if fields is None:
        if isinstance(document.get("content"), list):
            return _text_of_parts(document["content"], where)
        if not isinstance(document.get("text"), str):
            raise invalid(f"{where} has no text")
        return str(document["text"])
    values = [document[name] for name in fields if document.get(name) is not None]
    if not values:
        raise invalid(f"{where} has none of the fields {', '.join(fields)}")
    return " ".join(v if isinstance(v, str) else json.dumps(v) for v in values)


def _text_of_parts(parts: Sequence[Any], where: str) -> str:
    texts = []
    for position, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise invalid(f"{where}.content[{position}] is not text, which is all that is read")
        texts.append(part["text"])
    return "\n".join(texts)
