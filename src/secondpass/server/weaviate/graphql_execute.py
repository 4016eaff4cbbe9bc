"""From the text of a query to its answer, errors in the database's form among it.

What a query asks of the objects of a class, before any of them is looked for.

What answers the queries of one request.

Queries: `/v1/graphql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    execute,
    get_argument_values,
    get_directive_values,
    parse,
    validate,
)

from secondpass.errors import SecondpassError
from secondpass.server.http_errors import HttpError, problem_of
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.get_query import GetQuery, both_passes, condition_of
from secondpass.server.weaviate.graphql_schema import RERANK, schema_of
from secondpass.server.weaviate.responses import refused, shown
from secondpass.server.weaviate.search import FoundObject

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo, GraphQLSchema

    from secondpass.server.state import ServerState


def asked_in(info: GraphQLResolveInfo[Any]) -> GetQuery:
    """Return what the selections of a class ask for among the additional properties."""
    blocks = [n for n in _selected(info, info.field_nodes) if n.name.value == "_additional"]
    vectors, reranks = False, []
    for node in _selected(info, blocks):
        if node.name.value in ("vector", "vectors"):
            vectors = True
        if node.name.value == "rerank":
            given = get_argument_values(RERANK, node, info.variable_values)
            asked = (given.get("property"), given.get("query"))
            if asked not in reranks:
                reranks.append(asked)
    return GetQuery(vectors, tuple(reranks))


def _selected(info: GraphQLResolveInfo[Any], nodes: Sequence[FieldNode]) -> list[FieldNode]:
    """Return the fields below these, those of fragments and merged blocks among them."""
    seen: set[str] = set()
    found: list[FieldNode] = []
    for node in nodes:
        found += _fields(info, node.selection_set, seen)
    return found


def _fields(
    info: GraphQLResolveInfo[Any], selections: Any, seen: set[str]
) -> Iterator[FieldNode]:
    for node in () if selections is None else selections.selections:
        if not _included(info, node):
            continue
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(info, node.selection_set, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            # Once for each level, as in the execution: else a few could unfold to millions.
            seen.add(node.name.value)
            yield from _fields(info, _fragment(info, node.name.value), seen)


def _fragment(info: GraphQLResolveInfo[Any], name: str) -> Any:
    found: Any = info.fragments[name]
    # Some versions of the library wrap the definition.
    return getattr(found, "definition", found).selection_set


def _included(info: GraphQLResolveInfo[Any], node: Any) -> bool:
    skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
    return not (skip and skip["if"]) and not (include and not include["if"])


MOST_SEARCHES = 100


class GraphQLAnswers:
    """The context of an execution; `classes` are those of the caller's tenant, by name."""

    def __init__(
        self, classes: Mapping[str, ClassIndex], state: ServerState, context: RequestContext
    ) -> None:
        self._classes, self._state, self._context = classes, state, context
        self._left = MOST_SEARCHES

    def get(
        self, name: str, info: GraphQLResolveInfo[Any], given: Mapping[str, Any]
    ) -> Sequence[FoundObject]:
        """Return the objects of a class that a query finds, best first.

        Raises Problem for what cannot be.
        """
        self._one_more()
        try:
            asked = asked_in(info)
            return both_passes(self._classes[name], given, asked, self._state, self._context)
        except HttpError as problem:
            problem.message = f"explorer: get class: {problem.message}"
            raise

    def count(self, name: str, given: Mapping[str, Any]) -> int:
        """Return how many objects of a class pass a filter; raises Problem."""
        self._one_more()
        index = self._classes[name]
        return index.count(condition_of(index, given))

    def second_pass(
        self, found: FoundObject, given: Mapping[str, Any]
    ) -> list[dict[str, float]]:
        """Return the score that an object was given, as the database has it: in a list."""
        return [{"score": found.reranked[given.get("property"), given.get("query")]}]

    def _one_more(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise refused(f"a request may have {MOST_SEARCHES} searches")


MOST_TOKENS = 100_000
# Fields are compared in pairs while a query is checked.
MOST_FIELDS = 1000
# Not the query's fault: told by the status, so that clients come back.
_BY_STATUS = (429, 499, 500, 503, 504)


def executed(
    schema: GraphQLSchema,
    query: str,
    answers: GraphQLAnswers,
    *,
    variables: Mapping[str, Any] | None = None,
    operation: str | None = None,
) -> dict[str, Any]:
    """Return data and errors, as GraphQL has them; blocks.

    Raises Problem where the server is to blame: too busy, too late, failed.
    """
    try:
        document = parse(query, max_tokens=MOST_TOKENS)
        _check_size(document)
        wrong = validate(schema, document)
        if wrong:
            return _failed(wrong)
        done: Any = execute(
            schema,
            document,
            context_value=answers,
            variable_values=dict(variables or {}),
            operation_name=operation,
        )
    except GraphQLError as error:
        return _failed([error])
    except RecursionError:
        return _failed([GraphQLError("the query is nested too deeply")])
    except HttpError as problem:
        return _failed([GraphQLError(problem.message)])
    if not done.errors:
        return {"data": done.data}
    for failed in done.errors:
        _raise_ours(failed.original_error)
    return {"data": done.data, "errors": _formatted(done.errors)}


def _failed(errors: Iterable[GraphQLError]) -> dict[str, Any]:
    return {"data": None, "errors": _formatted(errors)}


def _formatted(errors: Iterable[GraphQLError]) -> list[dict[str, Any]]:
    return [
        {
            "locations": [{"column": p.column, "line": p.line} for p in error.locations or ()],
            "message": shown(_message(error)),
            "path": error.path,
        }
        for error in errors
    ]


def _message(error: GraphQLError) -> str:
    cause = error.original_error
    return cause.message if isinstance(cause, HttpError) else error.message


def _raise_ours(cause: Exception | None) -> None:
    """Raise what is no fault of the query."""
    if cause is None or isinstance(cause, GraphQLError | RecursionError):
        return
    if isinstance(cause, SecondpassError):
        cause = problem_of(cause)
    if not isinstance(cause, HttpError) or cause.status in _BY_STATUS:
        raise cause


def _check_size(document: DocumentNode) -> None:
    waiting: list[Any] = [getattr(one, "selection_set", None) for one in document.definitions]
    fields = 0
    while waiting:
        some = waiting.pop()
        for node in () if some is None else some.selections:
            fields += 1
            waiting.append(getattr(node, "selection_set", None))
        if fields > MOST_FIELDS:
            raise refused(f"the query has more than {MOST_FIELDS} fields")


class GraphQLRoutes:
    """Answers queries over the classes of a tenant, whose schema it keeps."""

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes
        self._schemas: dict[str, tuple[list[ClassDefinition], GraphQLSchema]] = {}

    async def query(self, context: RequestContext) -> Any:
        """Answer a query; what is wrong with it is told in the answer, with status 200."""
        body = (await self._handler.body(context)).found
        query, variables = body.get("query"), body.get("variables")
        operation = body.get("operationName")
        if not isinstance(query, str) or not query.strip():
            raise refused("query cannot be empty")
        if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
            raise refused("variables must be an object, and operationName a string")

        def answer() -> dict[str, Any]:
            found = self._classes.listed(context.caller.tenant)
            if not found:
                raise refused(
                    "no graphql provider present, this is most likely because no schema is "
                    "present. Import a schema first!"
                )
            known = {one.definition.name: one for one in found}
            answers = GraphQLAnswers(known, self._handler.state, context)
            schema = self._schema(context.caller.tenant, found)
            return executed(
                schema, query, answers, variables=variables, operation=operation or None
            )

        return await self._handler.done(context, answer)

    def _schema(self, tenant: str, classes: list[ClassIndex]) -> GraphQLSchema:
        definitions = [one.definition for one in classes]
        kept = self._schemas.get(tenant)
        if kept is None or kept[0] != definitions:
            self._schemas[tenant] = kept = (definitions, schema_of(definitions))
        return kept[1]
