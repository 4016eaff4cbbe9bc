"""What answers the queries of one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.server.exchange import Exchange
from secondpass.server.problems import Problem
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.found import Found
from secondpass.server.weaviate.getting import condition_of, find
from secondpass.server.weaviate.graphql_asked import Asked
from secondpass.server.weaviate.refusals import refused
from secondpass.server.weaviate.reranking import second_pass

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

    from secondpass.server.service import RerankService

MOST_SEARCHES = 100


class Answers:
    """The context of an execution; `classes` are those of the caller's tenant, by name."""

    def __init__(
        self, classes: Mapping[str, ClassIndex], service: RerankService, exchange: Exchange
    ) -> None:
        self._classes, self._service, self._exchange = classes, service, exchange
        self._left = MOST_SEARCHES

    def get(
        self, name: str, info: GraphQLResolveInfo[Any], given: Mapping[str, Any]
    ) -> Sequence[Found]:
        """Return the objects of a class that a query finds, best first.

        Raises Problem for what cannot be.
        """
        self._one_more()
        try:
            return self._get(self._classes[name], Asked(info), given)
        except Problem as problem:
            problem.message = f"explorer: get class: {problem.message}"
            raise

    def count(self, name: str, given: Mapping[str, Any]) -> int:
        """Return how many objects of a class pass a filter; raises Problem."""
        self._one_more()
        index = self._classes[name]
        return index.store.documents(condition_of(index, given))

    def second_pass(self, found: Found, given: Mapping[str, Any]) -> list[dict[str, float]]:
        """Return the score that an object was given, as the database has it: in a list."""
        return [{"score": found.reranked[given.get("property"), given.get("query")]}]

    def _get(self, index: ClassIndex, asked: Asked, given: Mapping[str, Any]) -> list[Found]:
        found = find(index, given, vectors=asked.vectors)
        for name, query in asked.reranks:
            if not name:
                raise refused("extend rerank: no properties provided")
            index.definition.property(name)
            self._service.check_count(len(found), self._exchange.caller.max_documents)
            self._exchange.documents += len(found)
            words = _searched(given) if query is None else query
            scores = second_pass(found, index.reranker(), name, words)
            for one, score in zip(found, scores, strict=True):
                one.reranked[name, query] = score
        if asked.reranks:
            # Of several, the first decides.
            found.sort(key=lambda one: -one.reranked[asked.reranks[0]])
        return found

    def _one_more(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise refused(f"a request may have {MOST_SEARCHES} searches")


def _searched(given: Mapping[str, Any]) -> str:
    """Return the words that were searched for, or nothing."""
    near, words, both = (given.get(name) or {} for name in ("nearText", "bm25", "hybrid"))
    texts = [*near.get("concepts", ()), words.get("query"), both.get("query")]
    return " ".join(text for text in texts if text)
