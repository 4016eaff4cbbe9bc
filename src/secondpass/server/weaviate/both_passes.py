"""A query from its arguments to its objects: found, and reranked where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from secondpass.server.exchange import Exchange
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.found import Found
from secondpass.server.weaviate.get_query import find
from secondpass.server.weaviate.reranking import second_pass
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.server.state import RerankService


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query asks of the objects besides their properties.

    - `vectors`: whether their vectors.
    - `reranks`: property and query of each second pass, of which either may be None.
    """

    vectors: bool = False
    reranks: tuple[tuple[str | None, str | None], ...] = ()


def both_passes(
    index: ClassIndex,
    given: Mapping[str, Any],
    asked: Asked,
    service: RerankService,
    exchange: Exchange,
) -> list[Found]:
    """Return the objects that a query finds, best first; blocks.

    `given` are the arguments of `Get`, by the names that GraphQL has for them. Raises Problem
    for what cannot be.
    """
    found = find(index, given, vectors=asked.vectors)
    for name, query in asked.reranks:
        if not name:
            raise refused("extend rerank: no properties provided")
        index.definition.property(name)
        service.check_count(len(found), exchange.caller.max_documents)
        exchange.documents += len(found)
        words = _searched(given) if query is None else query
        scores = second_pass(found, index.reranker(), name, words)
        for one, score in zip(found, scores, strict=True):
            one.reranked[name, query] = score
    if asked.reranks:
        # Of several, the first decides.
        found.sort(key=lambda one: -one.reranked[asked.reranks[0]])
    return found


def _searched(given: Mapping[str, Any]) -> str:
    """Return the words that were searched for, or nothing."""
    near, words, both = (given.get(name) or {} for name in ("nearText", "bm25", "hybrid"))
    texts = [*near.get("concepts", ()), words.get("query"), both.get("query")]
    return " ".join(text for text in texts if text)
