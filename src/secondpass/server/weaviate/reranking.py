"""The second pass of a query: `rerank` among the additional properties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from secondpass.rerank.base import BaseReranker
from secondpass.server.weaviate.found import Found
from secondpass.server.weaviate.responses import refused


def second_pass(
    found: Sequence[Found], reranker: BaseReranker, property_name: str, query: str
) -> list[float]:
    """Return the scores of what was found, in the same order: higher is better.

    Of each object one property is read; one that lacks it counts as an empty text. Raises
    Problem (422) for a blank query.
    """
    if not query.strip():
        raise refused("extend rerank: no query provided")
    texts = [_text(one.properties.get(property_name)) for one in found]
    if not texts:
        return []
    response = reranker.rerank(query, texts, return_documents=False)
    scores = {result.index: result.score for result in response.results}
    return [scores[place] for place in range(len(texts))]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)
