"""`/api/v1/indexes/{name}/files`: indexing a file as it is, by its format."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request

from secondpass.errors import MissingExtraError, ReadError, nearest
from secondpass.retrieve.loaders import LOADERS, SourceFile, read_file
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.retrieve.loaders.sandbox import ReadLimits
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import raw_bytes
from secondpass.server.request_handler import RequestHandler
from secondpass.types import Document

_READ_SECONDS = 60
_MAX_LISTED = 20
_FILE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the file.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
        },
    }
}


@dataclass
class StoredFile:
    """What a file gave: its documents, and how many of them were stored.

    `empty` ones have no text and are not stored. `unread_characters` are those of documents
    that are too long; `skipped` says why rows could not be read, the first 20 of
    `skipped_rows`.
    """

    documents: int
    added: int
    updated: int
    unchanged: int
    empty: int
    passages: int
    unread_characters: int
    skipped_rows: int
    skipped: list[str]


@dataclass
class _FileText:
    documents: list[Document]
    unread: int
    skipped: list[str]


def router(handler: RequestHandler) -> APIRouter:
    """Return the route that reads a file."""
    routes = make_router(handler, "indexes", "write", read=raw_bytes)
    state = handler.state

    @routes.post("/indexes/{name}/files", response_model=StoredFile, openapi_extra=_FILE_BODY)
    async def add_file(
        name: str,
        filename: Annotated[str, Query(min_length=1, max_length=500)],
        request: Request,
        context: Context,
    ) -> object:
        """Read a file and store its documents; its name says the format, and is its id.

        A file of rows has a document for each, with the row's own id, or the file's name and
        the number of its line.
        """
        content = await request.body()

        def run() -> StoredFile:
            served = state.catalog.find(context.caller.tenant, name)
            found = _read(filename, content, state.max_documents(context.caller.max_documents))
            report = served.add(found.documents)
            return StoredFile(
                documents=len(found.documents),
                added=report.added,
                updated=report.updated,
                unchanged=report.unchanged,
                empty=report.empty,
                passages=report.passages,
                unread_characters=found.unread,
                skipped_rows=len(found.skipped),
                skipped=found.skipped[:_MAX_LISTED],
            )

        return await handler.run(context, run, timeout=state.settings.write_timeout)

    return routes


def _read(filename: str, content: bytes, max_documents: int) -> _FileText:
    """Return the documents of a file; raises HttpError (400) for one that cannot be read."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    if name in ("", ".", "..") or not name.isprintable():
        raise invalid(f"{filename[:100]!r} is not the name of a file")
    suffix = suffix_of(Path(name))
    if suffix not in LOADERS:
        what = f"files that end in {suffix!r}" if suffix else "files without a suffix"
        raise invalid(f"{what} are not read. {nearest(suffix, LOADERS)}")
    with tempfile.TemporaryDirectory(prefix="secondpass-file-") as folder:
        # Its own name may be too long for this file system, or mean something to it.
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        source = SourceFile(path, path.parent)
        limits = ReadLimits.from_environment(seconds=_READ_SECONDS)
        try:
            with read_file(source, limits=limits, apart=True, strict=False) as found:
                documents = list(islice(found, max_documents + 1))
        except MissingExtraError:
            raise
        except ReadError as error:
            raise invalid(_message(error, path, name)) from error
        if len(documents) > max_documents:
            raise HttpError(
                400,
                "too many",
                f"{name} has more than {max_documents:,} rows: send it in parts",
            )
        return _FileText(
            [_rename(document, path.name, name) for document in documents],
            found.cut,
            [_message(error, path, name) for error in found.skipped],
        )


def _rename(document: Document, stored_as: str, name: str) -> Document:
    """Return the document with the id that it has in the file of the client's name."""
    id_ = document.id or ""
    if id_ != stored_as and not id_.startswith(f"{stored_as}:"):
        return document
    return replace(document, id=name + id_.removeprefix(stored_as))


def _message(error: ReadError, path: Path, name: str) -> str:
    """Return an error with the client's name of the file in place of the temporary one."""
    return str(error).replace(str(path), name).replace(path.name, name)
