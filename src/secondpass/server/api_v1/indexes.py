"""`/api/v1/indexes`: making and filling what is searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from secondpass.server.api_v1.router import Asking, router
from secondpass.server.api_v1.schemas import STRICT, DocumentBody
from secondpass.server.index_catalog import SERVED, IndexKey, ServedIndex
from secondpass.server.request_handler import RequestHandler


@dataclass
class IndexBody:
    """A new index.

    `language` is that of stemming; documents longer than `chunk_tokens` are cut into passages
    that share `overlap` tokens, null keeps them whole.
    """

    __pydantic_config__ = STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")]
    language: str = "english"
    chunk_tokens: Annotated[int, Field(ge=8)] | None = 256
    overlap: Annotated[int, Field(ge=0)] = 32


@dataclass
class IndexAbout:
    """An index: its name, and how many documents it has."""

    name: str
    documents: int


@dataclass
class IndexList:
    """The indexes of the caller's tenant, but for those that clients of other dialects made."""

    indexes: list[IndexAbout]


@dataclass
class DocumentsBody:
    """Documents to store; those whose ids are there already are replaced."""

    __pydantic_config__ = STRICT

    documents: Annotated[list[DocumentBody], Field(min_length=1)]


@dataclass
class Stored:
    """What became of the documents: `empty` ones have no text and are not stored."""

    added: int
    updated: int
    unchanged: int
    empty: int
    passages: int


@dataclass
class Deleted:
    """How many documents there were."""

    deleted: int


def reading(handler: RequestHandler) -> APIRouter:
    """Return the routes that change nothing."""
    routes = router(handler, "indexes", "search")

    @routes.get("/indexes", response_model=IndexList)
    async def listed(asking: Asking) -> object:
        """List the indexes."""
        tenant = asking.caller.tenant

        def do() -> IndexList:
            found = handler.state.catalog.listed(tenant, SERVED)
            return IndexList(indexes=[_about(one) for one in found])

        return await handler.done(asking, do)

    @routes.get("/indexes/{name}", response_model=IndexAbout)
    async def one(name: str, asking: Asking) -> object:
        """Return one index."""
        return await handler.done(
            asking,
            lambda: _about(handler.state.catalog.find(asking.caller.tenant, name)),
        )

    return routes


def writing(handler: RequestHandler) -> APIRouter:
    """Return the routes that make, fill, empty and remove."""
    routes = router(handler, "indexes", "write")
    patience = handler.state.settings.write_timeout

    @routes.post("/indexes", response_model=IndexAbout, status_code=201)
    async def create(body: IndexBody, asking: Asking) -> object:
        """Make an index."""
        place = IndexKey(asking.caller.tenant, SERVED, body.name)
        made = {
            "language": body.language,
            "chunk_tokens": body.chunk_tokens,
            "overlap": body.overlap,
        }

        def do() -> IndexAbout:
            known = handler.state.catalog
            found = known.create(place, {"index": made})
            try:
                return _about(found)
            except Exception:
                # What cannot be opened is not left behind.
                known.delete(place)
                raise

        return await handler.done(asking, do)

    @routes.delete("/indexes/{name}", response_model=IndexAbout)
    async def delete(name: str, asking: Asking) -> object:
        """Remove an index with all that is in it."""

        def do() -> IndexAbout:
            known = handler.state.catalog
            found = known.find(asking.caller.tenant, name)
            about = _about(found)
            known.delete(found.place)
            return about

        return await handler.done(asking, do)

    @routes.post("/indexes/{name}/documents", response_model=Stored)
    async def add(name: str, body: DocumentsBody, asking: Asking) -> object:
        """Store documents; when this answers, they are stored and found."""
        handler.counting(asking, len(body.documents))

        def do() -> Stored:
            found = handler.state.catalog.find(asking.caller.tenant, name)
            report = found.add(document.document() for document in body.documents)
            return Stored(
                report.added, report.updated, report.unchanged, report.empty, report.passages
            )

        return await handler.done(asking, do, timeout=patience)

    @routes.delete("/indexes/{name}/documents", response_model=Deleted)
    async def remove(
        name: str, ids: Annotated[list[str], Query(alias="id", min_length=1)], asking: Asking
    ) -> object:
        """Remove documents by id; the parameter `id` may be given several times."""
        return await handler.done(
            asking,
            lambda: Deleted(
                handler.state.catalog.find(asking.caller.tenant, name).index.delete(ids)
            ),
            timeout=patience,
        )

    return routes


def _about(collection: ServedIndex) -> IndexAbout:
    return IndexAbout(collection.place.label, collection.index.count())
