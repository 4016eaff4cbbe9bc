"""GraphQL execution: from a document to its data and errors.

Importing this module needs graphql-core.
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
from secondpass.server.http_errors import HttpError, to_http_error
from secondpass.server.request_context import RequestContext
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.errors import clean_message, unprocessable
from secondpass.server.weaviate.get_query import Rerank, parse_filter, parse_get_query
from secondpass.server.weaviate.graphql_schema import RERANK, build_schema
from secondpass.server.weaviate.rerank import search_and_rerank
from secondpass.server.weaviate.schemas import GraphQLRequest
from secondpass.server.weaviate.search import SearchHit, filter_sql

if TYPE_CHECKING:
    from secondpass.server.state import ServerState

MAX_SEARCHES = 100
MAX_TOKENS = 100_000
# Validation compares fields in pairs.
MAX_FIELDS = 1000
# Errors of the server rather than the query keep their HTTP status, so that clients retry.
_HTTP_STATUSES = (429, 499, 500, 503, 504, 507)


class ExecutionContext:
    """What resolvers use: `classes` are those of the caller's tenant, by name."""

    def __init__(
        self, classes: Mapping[str, ClassIndex], state: ServerState, context: RequestContext
    ) -> None:
        self._classes, self._state, self._context = classes, state, context
        self._searches_left = MAX_SEARCHES

    def get(
        self, name: str, info: GraphQLResolveInfo[Any], arguments: Mapping[str, Any]
    ) -> Sequence[SearchHit]:
        """Return the hits of a `Get` query, best first; raises HttpError."""
        self._count_search()
        try:
            index = self._classes[name]
            vectors, reranks = _parse_additional(info)
            query = parse_get_query(
                arguments, index.definition, vectors=vectors, reranks=reranks
            )
            return search_and_rerank(index, query, self._state, self._context)
        except HttpError as error:
            error.message = f"explorer: get class: {error.message}"
            raise

    def count(self, name: str, arguments: Mapping[str, Any]) -> int:
        """Return how many objects of a class pass a filter; raises HttpError."""
        self._count_search()
        index = self._classes[name]
        return index.count(filter_sql(index, parse_filter(arguments, index.definition)))

    def rerank_scores(
        self, hit: SearchHit, arguments: Mapping[str, Any]
    ) -> list[dict[str, float]]:
        """Return the score of a second pass, as a list of one, as in Weaviate."""
        return [{"score": hit.rerank_scores[_parse_rerank(arguments)]}]

    def _count_search(self) -> None:
        self._searches_left -= 1
        if self._searches_left < 0:
            raise unprocessable(f"a request may have {MAX_SEARCHES} searches")


class SchemaCache:
    """The GraphQL schema of each tenant, built again when its classes change."""

    def __init__(self) -> None:
        self._schemas: dict[str, tuple[list[ClassDefinition], GraphQLSchema]] = {}

    def get(self, tenant: str, classes: Sequence[ClassIndex]) -> GraphQLSchema:
        """Return the schema of a tenant's classes."""
        definitions = [index.definition for index in classes]
        cached = self._schemas.get(tenant)
        if cached is None or cached[0] != definitions:
            self._schemas[tenant] = cached = (definitions, build_schema(definitions))
        return cached[1]


def execute_query(
    schema: GraphQLSchema, request: GraphQLRequest, context: ExecutionContext
) -> dict[str, Any]:
    """Execute a GraphQL request and return its data and errors; blocks.

    Raises HttpError for failures of the server: overloaded, timed out, failed.
    """
    try:
        document = parse(request.query, max_tokens=MAX_TOKENS)
        _check_size(document)
        invalid = validate(schema, document)
        if invalid:
            return _error_result(invalid)
        result: Any = execute(
            schema,
            document,
            context_value=context,
            variable_values=dict(request.variables),
            operation_name=request.operation,
        )
    except GraphQLError as error:
        return _error_result([error])
    except RecursionError:
        return _error_result([GraphQLError("the query is nested too deeply")])
    except HttpError as error:
        return _error_result([GraphQLError(error.message)])
    if not result.errors:
        return {"data": result.data}
    for failed in result.errors:
        _raise_server_error(failed.original_error)
    return {"data": result.data, "errors": _format_errors(result.errors)}


def _check_size(document: DocumentNode) -> None:
    pending: list[Any] = [getattr(d, "selection_set", None) for d in document.definitions]
    fields = 0
    while pending:
        selections = pending.pop()
        for node in () if selections is None else selections.selections:
            fields += 1
            pending.append(getattr(node, "selection_set", None))
        if fields > MAX_FIELDS:
            raise unprocessable(f"the query has more than {MAX_FIELDS} fields")


def _raise_server_error(cause: Exception | None) -> None:
    """Raise an error that is not the query's fault."""
    if cause is None or isinstance(cause, GraphQLError | RecursionError):
        return
    if isinstance(cause, SecondpassError):
        cause = to_http_error(cause)
    if not isinstance(cause, HttpError) or cause.status in _HTTP_STATUSES:
        raise cause


def _error_result(errors: Iterable[GraphQLError]) -> dict[str, Any]:
    return {"data": None, "errors": _format_errors(errors)}


def _format_errors(errors: Iterable[GraphQLError]) -> list[dict[str, Any]]:
    return [
        {
            "locations": [{"column": p.column, "line": p.line} for p in error.locations or ()],
            "message": clean_message(_message(error)),
            "path": error.path,
        }
        for error in errors
    ]


def _message(error: GraphQLError) -> str:
    cause = error.original_error
    return cause.message if isinstance(cause, HttpError) else error.message


def _parse_additional(info: GraphQLResolveInfo[Any]) -> tuple[bool, list[Rerank]]:
    """Return whether `_additional` selects vectors, and its reranks, each once."""
    blocks = [n for n in _select(info, info.field_nodes) if n.name.value == "_additional"]
    vectors, reranks = False, []
    for node in _select(info, blocks):
        if node.name.value in ("vector", "vectors"):
            vectors = True
        if node.name.value == "rerank":
            arguments = get_argument_values(RERANK, node, info.variable_values)
            rerank = _parse_rerank(arguments)
            if rerank not in reranks:
                reranks.append(rerank)
    # Hits of groups have vectors, too.
    for name in ("group", "hits", "_additional"):
        blocks = [n for n in _select(info, blocks) if n.name.value == name]
    vectors |= any(node.name.value == "vector" for node in _select(info, blocks))
    return vectors, reranks


def _parse_rerank(arguments: Mapping[str, Any]) -> Rerank:
    return Rerank(arguments.get("property"), arguments.get("query"))


def _select(info: GraphQLResolveInfo[Any], nodes: Sequence[FieldNode]) -> list[FieldNode]:
    """Return the fields selected within these, those of fragments and merged blocks too."""
    visited: set[str] = set()
    return [field for node in nodes for field in _fields(info, node.selection_set, visited)]


def _fields(
    info: GraphQLResolveInfo[Any], selections: Any, visited: set[str]
) -> Iterator[FieldNode]:
    for node in () if selections is None else selections.selections:
        if not _included(info, node):
            continue
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(info, node.selection_set, visited)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
            # Once a level, as in execution: a few nested fragments could expand to millions.
            visited.add(node.name.value)
            yield from _fields(info, _fragment(info, node.name.value), visited)


def _fragment(info: GraphQLResolveInfo[Any], name: str) -> Any:
    fragment: Any = info.fragments[name]
    # Some versions of graphql-core wrap the definition.
    return getattr(fragment, "definition", fragment).selection_set


def _included(info: GraphQLResolveInfo[Any], node: Any) -> bool:
    skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
    return not (skip and skip["if"]) and not (include and not include["if"])
