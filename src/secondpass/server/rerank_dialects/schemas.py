"""Rerank requests: what every dialect's body is parsed into, and the fields that most share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from secondpass.option_types import Count, Flag
from secondpass.rerank.windowing import PassageAggregation
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, NoEffect, RequestField

MODEL = Honored("the model, by name; the default one for names that are not served")
QUERY = Honored("the query; what is not read of a long one is reported", required=True)
DOCUMENTS = Honored("the documents: texts, or objects with `text`", required=True)
TOP_N = Honored("how many results are returned", Count())
TOP_N_OR_ALL = Honored("how many results are returned, 0 for all", Count(0))
RETURN_DOCUMENTS = Honored("whether results have their documents", Flag())
RAW_SCORES = Honored("logits instead of scores from 0 to 1", Flag())
RANK_FIELDS = Honored("which fields of documents that are objects are read, in this order")
MAX_TOKENS_PER_DOC = Honored("how many tokens of a document are read at most", Count())
MAX_CHUNKS_PER_DOC = Honored("how many windows of a document are read at most", Count())
TRUNCATION = Honored(
    "false: a text that is too long to be read whole is an error instead of a warning", Flag()
)
USER = NoEffect("the API key says who asks")
PRIORITY = NoEffect("requests are served in the order of their deadlines, whoever sends them")
INSTRUCTION = Honored("what the model should prefer; an error where it cannot follow any")

SHARED_FIELDS: Mapping[str, RequestField] = {
    "query": QUERY,
    "documents": DOCUMENTS,
    "model": MODEL,
    "top_n": TOP_N,
    "return_documents": RETURN_DOCUMENTS,
}
"""The fields that most rerank APIs have."""


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A query and documents to rerank.

    - `originals`: the documents as the client sent them; `documents`: their texts.
    - `top_n`: how many results to return, None for all; `return_documents`: whether to send
      the documents back; `raw_scores`: logits instead of scores from 0 to 1.
    - `reading`: the options of `BaseReranker.rerank` that say how much is read; `from_end`:
      whether the ends of documents are read where they are not read whole.
    """

    query: str
    originals: Sequence[Any]
    documents: Sequence[str]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool = False
    raw_scores: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict)
    from_end: bool = False


def parse_request(
    body: Body,
    documents: str = "documents",
    *,
    top_n: str = "top_n",
    return_documents: str = "return_documents",
) -> RerankRequest:
    """Parse what most dialects share; the arguments name the keys that differ.

    A document is a text or an object; of an object `text` is read, the text parts of
    `content`, or the fields that `rank_fields` names. Raises HttpError (400) for a blank
    query, no documents, and a document without text.
    """
    query = body.text("query")
    if not query.strip():
        raise invalid("query is blank")
    originals = body.items(documents)
    if not originals:
        raise invalid(f"{documents} is empty")
    fields = body.texts("rank_fields")
    if fields is not None and not fields:
        raise invalid("rank_fields is empty")
    limit = body.count(top_n, minimum=0)
    return RerankRequest(
        query,
        originals,
        [_text(one, f"{documents}[{i}]", fields) for i, one in enumerate(originals)],
        model=body.maybe_text("model"),
        top_n=None if limit == 0 else limit,
        return_documents=body.flag(return_documents),
        reading=parse_reading(
            body,
            tokens="max_tokens_per_doc",
            chunks="max_chunks_per_doc",
            truncate="truncation",
        ),
    )


def parse_reading(
    body: Body,
    *,
    tokens: str,
    query_tokens: str = "",
    chunks: str = "",
    truncate: str = "",
) -> dict[str, Any]:
    """Return the options of `BaseReranker.rerank` that say how much is read.

    The arguments name the keys: how many tokens of a document, how many of the query, how many
    windows of a document, and whether less than everything may be read. 0 is no limit. Of the
    dialects that declare `instruction`, it is what the model should prefer.
    """
    chosen: dict[str, Any] = {
        "max_tokens_per_doc": body.count(tokens, minimum=0) or None,
        "max_query_tokens": body.count(query_tokens, minimum=0) or None,
        "instructions": body.maybe_text("instruction") or None,
    }
    windows = body.count(chunks, minimum=0)
    if windows:
        chosen["passages"] = PassageAggregation(limit=windows)
    if not body.flag(truncate, True):
        chosen["truncate"] = False
    return {name: value for name, value in chosen.items() if value is not None}


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
    values = [v for v in (_field(document, name) for name in fields) if v is not None]
    if not values:
        raise invalid(f"{where} has none of the fields {', '.join(fields)}")
    return " ".join(v if isinstance(v, str) else json.dumps(v) for v in values)


def _field(document: Mapping[str, Any], name: str) -> Any:
    """Return a field of an object; "a.b" is also the field `b` of its object `a`."""
    if name in document:
        return document[name]
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text_of_parts(parts: Sequence[Any], where: str) -> str:
    texts = []
    for position, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise invalid(f"{where}.content[{position}] is not text, which is all that is read")
        texts.append(part["text"])
    return "\n".join(texts)
