"""From the text of a query to its answer, errors in the database's form among it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, execute, parse, validate

from secondpass.errors import SecondpassError
from secondpass.server.http_errors import Problem, problem_of
from secondpass.server.weaviate.answers import Answers
from secondpass.server.weaviate.responses import refused, shown

MOST_TOKENS = 100_000
# Fields are compared in pairs while a query is checked.
MOST_FIELDS = 1000
# Not the query's fault: told by the status, so that clients come back.
_BY_STATUS = (429, 499, 500, 503, 504)


def executed(
    schema: GraphQLSchema,
    query: str,
    answers: Answers,
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
    except Problem as problem:
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
    return cause.message if isinstance(cause, Problem) else error.message


def _raise_ours(cause: Exception | None) -> None:
    """Raise what is no fault of the query."""
    if cause is None or isinstance(cause, GraphQLError | RecursionError):
        return
    if isinstance(cause, SecondpassError):
        cause = problem_of(cause)
    if not isinstance(cause, Problem) or cause.status in _BY_STATUS:
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
