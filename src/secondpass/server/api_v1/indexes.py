"""`/api/v1/indexes`: creating, filling and deleting indexes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from secondpass.errors import RetrieverError
from secondpass.options import MODES
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import STRICT, DocumentBody
from secondpass.server.http_errors import HttpError, to_http_error
from secondpass.server.index_catalog import DEFAULT_NAMESPACE, IndexKey, ServedIndex
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler


@dataclass
class IndexBody:
    """A new index.

    `language` is that of stemming; documents longer than `chunk_tokens` are split into
    passages that share `overlap` tokens, null keeps them whole. Both are at most 100,000.
    """

    __pydantic_config__ = STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")]
    language: str = "english"
    chunk_tokens: Annotated[int, Field(ge=8, le=100_000, strict=True)] | None = 256
    overlap: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 32


@dataclass
class IndexAbout:
    """An index: its name, what it has, and how it can be searched.

    `documents` are stored as `passages`. `modes` are those of a search that it can run,
    `fields` the metadata that a filter can name, with the type of each. `writable`: whether
    the caller may add documents.

    For a database that is searched like an index, `engine` is its kind and version, and
    `problem` what is wrong where it cannot be reached; the number of its rows or passages,
    its language and its modes are null or empty where they are not known.

    For an index in object storage, `version` is the number of the published version that is
    searched now, and `problem` why no newer one can be looked for.
    """

    name: str
    documents: int | None
    passages: int | None
    language: str | None
    modes: list[str]
    fields: dict[str, str]
    writable: bool
    engine: str | None = None
    problem: str | None = None
    version: int | None = None


@dataclass
class IndexList:
    """The indexes of the caller's tenant, except those that other dialects created."""

    indexes: list[IndexAbout]


@dataclass
class VersionAbout:
    """A state of an index, as it was after one write: its number, and when that was."""

    number: int
    created: datetime


@dataclass
class VersionList:
    """The states that the search option `version` can name, oldest first."""

    versions: list[VersionAbout]


@dataclass
class DocumentsBody:
    """Documents to store; existing documents with the same ids are replaced."""

    __pydantic_config__ = STRICT

    documents: Annotated[list[DocumentBody], Field(min_length=1)]


@dataclass
class Stored:
    """How many documents were stored: `empty` ones have no text and are not stored."""

    added: int
    updated: int
    unchanged: int
    empty: int
    passages: int


@dataclass
class Deleted:
    """How many documents were deleted."""

    deleted: int


def read_router(handler: RequestHandler) -> APIRouter:
    """Return the routes that only read."""
    routes = make_router(handler, "indexes", "search")
    state = handler.state

    @routes.get("/indexes", response_model=IndexList, response_model_exclude_defaults=True)
    async def list_indexes(context: Context) -> object:
        """List the indexes."""

        def run() -> IndexList:
            served = state.catalog.list_indexes(context.caller.tenant, DEFAULT_NAMESPACE)
            return IndexList(indexes=[_about(index, context) for index in served])

        return await handler.run(context, run)

    @routes.get(
        "/indexes/{name}", response_model=IndexAbout, response_model_exclude_defaults=True
    )
    async def get_index(name: str, context: Context) -> object:
        """Return one index."""
        return await handler.run(
            context, lambda: _about(state.catalog.find(context.caller.tenant, name), context)
        )

    @routes.get("/indexes/{name}/versions", response_model=VersionList)
    async def list_versions(name: str, context: Context) -> object:
        """List the states of an index that can still be searched."""

        def run() -> VersionList:
            index = state.catalog.find(context.caller.tenant, name).index
            states = [
                VersionAbout(v.number, v.created.astimezone(UTC)) for v in index.versions()
            ]
            return VersionList(states)

        return await handler.run(context, run)

    return routes


def write_router(handler: RequestHandler) -> APIRouter:
    """Return the routes that create, fill, empty and delete indexes."""
    routes = make_router(handler, "indexes", "write")
    state = handler.state
    write_timeout = state.settings.write_timeout

    @routes.post(
        "/indexes",
        response_model=IndexAbout,
        status_code=201,
        response_model_exclude_defaults=True,
    )
    async def create_index(body: IndexBody, context: Context) -> object:
        """Create an index."""
        key = IndexKey(context.caller.tenant, DEFAULT_NAMESPACE, body.name)
        options = {
            "language": body.language,
            "chunk_tokens": body.chunk_tokens,
            "overlap": body.overlap,
        }

        def run() -> IndexAbout:
            served = state.catalog.create(key, {"index": options})
            try:
                return _about(served, context)
            except Exception:
                # An index that cannot be opened is not left behind.
                state.catalog.delete(key)
                raise

        return await handler.run(context, run)

    @routes.delete(
        "/indexes/{name}", response_model=IndexAbout, response_model_exclude_defaults=True
    )
    async def delete_index(name: str, context: Context) -> object:
        """Delete an index with everything in it."""

        def run() -> IndexAbout:
            served = state.catalog.find(context.caller.tenant, name)
            if served.searched_only:
                # Refused before it is asked what it has.
                state.catalog.delete(served.key)
            about = _about(served, context)
            state.catalog.delete(served.key)
            return about

        return await handler.run(context, run)

    @routes.post("/indexes/{name}/documents", response_model=Stored)
    async def add_documents(name: str, body: DocumentsBody, context: Context) -> object:
        """Store documents; they can be searched as soon as the response has come."""
        handler.count(context, len(body.documents))

        def run() -> Stored:
            served = state.catalog.find(context.caller.tenant, name)
            report = served.add(document.document() for document in body.documents)
            return Stored(
                report.added, report.updated, report.unchanged, report.empty, report.passages
            )

        return await handler.run(context, run, timeout=write_timeout)

    @routes.delete("/indexes/{name}/documents", response_model=Deleted)
    async def delete_documents(
        name: str, ids: Annotated[list[str], Query(alias="id", min_length=1)], context: Context
    ) -> object:
        """Delete documents by id; the parameter `id` may be repeated."""

        def run() -> Deleted:
            served = state.catalog.find(context.caller.tenant, name)
            return Deleted(served.index.delete(ids))

        return await handler.run(context, run, timeout=write_timeout)

    return routes


def _about(served: ServedIndex, context: RequestContext) -> IndexAbout:
    name = served.key.label
    if not served.searched_only:
        index = served.index
        remote = index.remote
        problem = None if remote is None else remote.problem
        return IndexAbout(
            name=name,
            documents=index.count(),
            passages=index.count_passages(),
            language=index.language,
            modes=[mode for mode in MODES if index.dimension or mode == "bm25"],
            fields=dict(index.fields),
            writable=context.caller.may("write"),
            problem=None if problem is None else problem.what,
            version=None if remote is None else remote.version,
        )
    unknown = IndexAbout(name, None, None, None, [], {}, writable=False)
    try:
        info = served.source.describe()
    except HttpError as error:
        return replace(unknown, problem=error.message)
    except RetrieverError as error:
        return replace(unknown, problem=to_http_error(error).message)
    return replace(
        unknown,
        documents=info.count if served.database is not None else served.count(),
        passages=info.count,
        modes=list(info.modes),
        fields=dict(info.fields),
        engine=info.engine,
    )
