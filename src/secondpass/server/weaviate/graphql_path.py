"""Queries: `/v1/graphql`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from secondpass.server.exchange import Exchange
from secondpass.server.request_handler import Answering
from secondpass.server.weaviate.answers import Answers
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.graphql_execute import executed
from secondpass.server.weaviate.graphql_schema import schema_of
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from graphql import GraphQLSchema


class GraphQLPath:
    """Answers queries over the classes of a tenant, whose schema it keeps."""

    def __init__(self, answering: Answering, classes: Classes) -> None:
        self._answering, self._classes = answering, classes
        self._schemas: dict[str, tuple[list[ClassDefinition], GraphQLSchema]] = {}

    async def query(self, exchange: Exchange) -> Any:
        """Answer a query; what is wrong with it is told in the answer, with status 200."""
        body = (await self._answering.body(exchange)).found
        query, variables = body.get("query"), body.get("variables")
        operation = body.get("operationName")
        if not isinstance(query, str) or not query.strip():
            raise refused("query cannot be empty")
        if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
            raise refused("variables must be an object, and operationName a string")

        def answer() -> dict[str, Any]:
            found = self._classes.listed(exchange.caller.tenant)
            if not found:
                raise refused(
                    "no graphql provider present, this is most likely because no schema is "
                    "present. Import a schema first!"
                )
            known = {one.definition.name: one for one in found}
            answers = Answers(known, self._answering.service, exchange)
            schema = self._schema(exchange.caller.tenant, found)
            return executed(
                schema, query, answers, variables=variables, operation=operation or None
            )

        return await self._answering.done(exchange, answer)

    def _schema(self, tenant: str, classes: list[ClassIndex]) -> GraphQLSchema:
        definitions = [one.definition for one in classes]
        kept = self._schemas.get(tenant)
        if kept is None or kept[0] != definitions:
            self._schemas[tenant] = kept = (definitions, schema_of(definitions))
        return kept[1]
