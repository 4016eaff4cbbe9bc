"""`/api/v1/indexes/{name}/query-sets`: queries with judgments, beside their index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter
from fastapi import Query as QueryParameter
from pydantic import Field
from starlette.responses import Response

from secondpass.errors import InputError
from secondpass.evaluate.qrels import qrels_lines
from secondpass.evaluate.query_sets import (
    FOLDER,
    JUDGED,
    MAX_GRADE,
    QuerySet,
    QuerySets,
    query_lines,
)
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import STRICT, Query
from secondpass.server.http_errors import HttpError
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.state import ServerState

T = TypeVar("T")
Grade = Annotated[int, Field(ge=0, le=MAX_GRADE, strict=True)]
_StoredGrade = Annotated[int, Field(ge=0, strict=True)]
_Id = Annotated[str, Field(min_length=1, max_length=2000)]
_Format = Annotated[
    Literal["trec", "jsonl"],
    QueryParameter(description="TREC's four columns, or JSON lines for ids with white space."),
]


class TextFile(Response):
    """A text to save as a file."""

    media_type = "text/plain"


@dataclass
class QuerySetAbout:
    """A query set: its name, how many queries and grades it has, and who may change it.

    `writable`: whether the caller may.
    """

    name: str
    queries: int
    judgments: int
    writable: bool


@dataclass
class QuerySetList:
    """The query sets of an index, by name; "judged" is always there."""

    query_sets: list[QuerySetAbout]


@dataclass
class QueryBody:
    """A query: its text, and its id, which is its position from 1 ("q1") if absent."""

    __pydantic_config__ = STRICT

    text: Query
    id: _Id | None = None


@dataclass
class QuerySetBody:
    """The queries of a set, and grades by query id, then by document id."""

    __pydantic_config__ = STRICT

    queries: list[QueryBody]
    grades: dict[str, dict[str, _StoredGrade]] = field(default_factory=dict)


@dataclass
class StoredQuery:
    """A query of a set."""

    id: str
    text: str


@dataclass
class FullQuerySet:
    """A query set with its queries, and its grades by query id, then by document id."""

    name: str
    queries: list[StoredQuery]
    grades: dict[str, dict[str, int]]
    writable: bool


@dataclass
class JudgmentsBody:
    """A query by its text, and the grades of documents, by id; null removes a grade."""

    __pydantic_config__ = STRICT

    query: Query
    grades: Annotated[dict[_Id, Grade | None], Field(min_length=1)]


@dataclass
class JudgedQuery:
    """A query of a set with all its grades."""

    id: str
    text: str
    grades: dict[str, int]


def find_query_sets(state: ServerState, context: RequestContext, index: str) -> QuerySets:
    """Return the query sets of an index of the caller; raises HttpError (404)."""
    served = state.catalog.find(context.caller.tenant, index)
    return QuerySets(served.folder / FOLDER)


def find_query_set(
    state: ServerState, context: RequestContext, index: str, name: str
) -> QuerySet:
    """Return a query set; raises HttpError (404) where the index or the set is not there."""
    sets = find_query_sets(state, context, index)
    return _found(sets, name, lambda: sets.read(name))


def read_router(handler: RequestHandler) -> APIRouter:
    """Return the routes that only read."""
    routes = make_router(handler, "evaluation", "search")
    state = handler.state

    @routes.get("/indexes/{name}/query-sets", response_model=QuerySetList)
    async def list_query_sets(name: str, context: Context) -> object:
        """List the query sets of an index."""

        def run() -> QuerySetList:
            sets = find_query_sets(state, context, name)
            return QuerySetList([_about(sets.read(each), context) for each in sets.names()])

        return await handler.run(context, run)

    @routes.get("/indexes/{name}/query-sets/{query_set}", response_model=FullQuerySet)
    async def get_query_set(name: str, query_set: str, context: Context) -> object:
        """Return a query set with its queries and grades."""

        def run() -> FullQuerySet:
            found = find_query_set(state, context, name, query_set)
            return FullQuerySet(
                name=found.name,
                queries=[StoredQuery(*item) for item in found.queries.items()],
                grades={query: dict(grades) for query, grades in found.grades.items()},
                writable=context.caller.may("write"),
            )

        return await handler.run(context, run)

    @routes.get(
        "/indexes/{name}/query-sets/{query_set}/qrels",
        response_class=TextFile,
        response_model=None,
    )
    async def get_qrels(
        name: str,
        query_set: str,
        context: Context,
        format: _Format = "trec",  # noqa: A002
    ) -> object:
        """Return the grades of a query set as a file: qrels."""

        def run() -> str:
            found = find_query_set(state, context, name, query_set)
            return "".join(f"{line}\n" for line in qrels_lines(found.grades, format))

        suffix = "qrels" if format == "trec" else "qrels.jsonl"
        return _as_file(await handler.run(context, run), f"{query_set}.{suffix}")

    @routes.get(
        "/indexes/{name}/query-sets/{query_set}/queries",
        response_class=TextFile,
        response_model=None,
    )
    async def get_queries(name: str, query_set: str, context: Context) -> object:
        """Return the queries of a query set as a file: JSON lines with `_id` and `text`."""

        def run() -> str:
            found = find_query_set(state, context, name, query_set)
            return "".join(f"{line}\n" for line in query_lines(found))

        return _as_file(await handler.run(context, run), f"{query_set}.queries.jsonl")

    return routes


def write_router(handler: RequestHandler) -> APIRouter:
    """Return the routes that change query sets."""
    routes = make_router(handler, "evaluation", "write")
    state = handler.state

    @routes.put("/indexes/{name}/query-sets/{query_set}", response_model=QuerySetAbout)
    async def put_query_set(
        name: str, query_set: str, body: QuerySetBody, context: Context
    ) -> object:
        """Create a query set, or replace the one of that name."""

        def run() -> QuerySetAbout:
            queries: dict[str, str] = {}
            for number, query in enumerate(body.queries, 1):
                query_id = f"q{number}" if query.id is None else query.id
                if query_id in queries:
                    raise InputError(f"two queries have the id {query_id!r:.100}")
                queries[query_id] = query.text
            stored = QuerySet(query_set, queries, body.grades)
            find_query_sets(state, context, name).write(stored)
            return _about(stored, context)

        return await handler.run(context, run)

    @routes.delete("/indexes/{name}/query-sets/{query_set}", response_model=QuerySetAbout)
    async def delete_query_set(name: str, query_set: str, context: Context) -> object:
        """Delete a query set; of "judged", its queries and grades."""

        def run() -> QuerySetAbout:
            sets = find_query_sets(state, context, name)
            return _about(_found(sets, query_set, lambda: sets.delete(query_set)), context)

        return await handler.run(context, run)

    @routes.post("/indexes/{name}/query-sets/{query_set}/judgments", response_model=JudgedQuery)
    async def judge(name: str, query_set: str, body: JudgmentsBody, context: Context) -> object:
        """Grade documents for a query from 0 (not relevant) to 3 (perfect).

        Grades are of documents, not of their passages. A query that the set does not have is
        added to it.
        """

        def run() -> JudgedQuery:
            sets = find_query_sets(state, context, name)
            query_id, grades = _found(
                sets, query_set, lambda: sets.judge(query_set, body.query, body.grades)
            )
            return JudgedQuery(query_id, body.query.strip(), grades)

        return await handler.run(context, run)

    return routes


def _found(sets: QuerySets, name: str, use: Callable[[], T]) -> T:
    """Return what `use` does; raises HttpError (404) where there is no such set."""
    if name != JUDGED and name not in sets.names():
        raise HttpError(404, "not found", f"there is no query set {name[:200]!r}")
    return use()


def _as_file(content: str, filename: str) -> TextFile:
    headers = {"content-disposition": f'attachment; filename="{filename}"'}
    return TextFile(content, headers={**headers, "x-content-type-options": "nosniff"})


def _about(query_set: QuerySet, context: RequestContext) -> QuerySetAbout:
    return QuerySetAbout(
        query_set.name,
        len(query_set.queries),
        query_set.judgments,
        context.caller.may("write"),
    )
