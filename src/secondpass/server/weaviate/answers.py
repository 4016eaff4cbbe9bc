"""What answers the queries of one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondpass.server.exchange import Exchange
from secondpass.server.http_errors import Problem
from secondpass.server.weaviate.both_passes import both_passes
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.found import Found
from secondpass.server.weaviate.get_query import condition_of
from secondpass.server.weaviate.graphql_asked import asked_in
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

    from secondpass.server.state import RerankService

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
            asked = asked_in(info)
            return both_passes(self._classes[name], given, asked, self._service, self._exchange)
        except Problem as problem:
            problem.message = f"explorer: get class: {problem.message}"
            raise

    def count(self, name: str, given: Mapping[str, Any]) -> int:
        """Return how many objects of a class pass a filter; raises Problem."""
        self._one_more()
        index = self._classes[name]
        return index.count(condition_of(index, given))

    def second_pass(self, found: Found, given: Mapping[str, Any]) -> list[dict[str, float]]:
        """Return the score that an object was given, as the database has it: in a list."""
        return [{"score": found.reranked[given.get("property"), given.get("query")]}]

    def _one_more(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise refused(f"a request may have {MOST_SEARCHES} searches")
