"""vLLM's score endpoint: pairs, scored in the order in which they come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import openai_error
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest

_PAIRS = (
    ("queries", "documents"),
    ("queries", "items"),
    ("data_1", "data_2"),
    ("text_1", "text_2"),
)
fail = openai_error


def read(body: Body) -> list[RerankRequest]:
    """Return one request for each query, in order: one for all texts, or one for each.

    Raises `Problem` (400) for keys that are missing, and for lists that do not pair up.
    """
    names = next((p for p in _PAIRS if body.has(p[0]) and body.has(p[1])), None)
    if names is None:
        raise invalid("text_1 and text_2 are missing, or queries and documents")
    left, right = (_texts(body, name) for name in names)
    for query in left:
        if not query.strip():
            raise invalid(f"{names[0]} has a blank text")
    model, raw = body.maybe_text("model"), not body.flag("use_activation", True)
    if len(left) == 1:
        return [RerankRequest(left[0], right, right, model=model, raw=raw)]
    if len(left) != len(right):
        raise invalid(
            f"{names[0]} has {len(left)} texts and {names[1]} has {len(right)}: "
            "give one, or as many"
        )
    pairs = zip(left, right, strict=True)
    return [RerankRequest(query, [text], [text], model=model, raw=raw) for query, text in pairs]


def write(answered: Sequence[RerankReply]) -> dict[str, Any]:
    """Return vLLM's answer."""
    scores: list[float] = []
    for one in answered:
        found = {r.index: one.score(r) for r in one.response.results}
        scores += [found[i] for i in range(len(found))]
    tokens = sum(one.tokens for one in answered)
    return {
        "id": f"score-{answered[0].id}",
        "object": "list",
        "created": int(time.time()),
        "model": answered[0].model,
        "data": [
            {"index": i, "object": "score", "score": score} for i, score in enumerate(scores)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
    }


def _texts(body: Body, name: str) -> Sequence[str]:
    value = body.found.get(name)
    if isinstance(value, str):
        return [value]
    found = body.texts(name)
    if not found:
        raise invalid(f"{name} is empty")
    return found
