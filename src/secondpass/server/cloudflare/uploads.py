"""Endpoints that upload a file or index an item again, and wait until it can be searched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from typing_extensions import TypedDict

from secondpass.errors import MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.server.cloudflare.context import DIALECT, ApiRequest, AppContext
from secondpass.server.cloudflare.filters import RESERVED_FIELDS, Field, to_column_value
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.items import (
    FINAL_STATUSES,
    MAX_FILE_BYTES,
    Item,
    storage_suffix,
)
from secondpass.server.cloudflare.operation import parse_request
from secondpass.server.cloudflare.responses import fail, not_found, ok
from secondpass.server.cloudflare.schemas import Schema
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body, BodyLimits
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation
from secondpass.server.state import ServerState

MAX_KEY_LENGTH = 128
MAX_WAIT_SECONDS = 40.0
_MAX_METADATA = 10_000
_MAX_PART_BYTES = 64 * 1024
_MAX_PARTS = 20


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: its key, content and metadata; `wait`: until it is indexed."""

    key: str
    content: bytes
    content_type: str
    metadata: dict[str, Any]
    wait: bool


async def read_upload(request: Request, limits: BodyLimits) -> Upload:
    """Read the file of a multipart/form-data body.

    Raises HttpError: 413 for too long a body, 400 for an invalid one; MissingExtraError
    without python-multipart.
    """
    try:
        from python_multipart.exceptions import FormParserError
    except ImportError as error:
        raise MissingExtraError(
            "An upload", package="python-multipart", extra="server"
        ) from error
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise invalid("an upload must be multipart/form-data, with the parts file and metadata")
    parser = MultiPartParser(
        request.headers,
        _limit_stream(request, limits),
        max_files=1,
        max_fields=_MAX_PARTS,
        max_part_size=_MAX_PART_BYTES,
    )
    try:
        return await _parse_form(await parser.parse())
    except MultiPartException as error:
        raise invalid(f"the body cannot be read: {error.message}") from None
    except (LookupError, UnicodeError, FormParserError):
        raise invalid("the body cannot be read: it is not valid multipart/form-data") from None
    finally:
        # The parser closes them only after its own errors.
        for file in getattr(parser, "_files_to_close_on_error", ()):
            file.close()


async def _limit_stream(request: Request, limits: BodyLimits) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limits.max_bytes:
            raise limits.too_large()
        if received > MAX_FILE_BYTES + _MAX_PART_BYTES:
            raise _too_large()
        yield chunk


async def _parse_form(form: FormData) -> Upload:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise invalid("the part file is missing, or has no filename")
    content = await file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise _too_large()
    return Upload(
        check_key(file.filename or ""),
        content,
        (file.content_type or "application/octet-stream")[:200],
        parse_metadata(_text_part(form, "metadata") or "{}"),
        _parse_wait(_text_part(form, "wait_for_completion")),
    )


def check_key(key: str) -> str:
    """Return the key of a file; raises HttpError (400) if it is invalid."""
    key = clean(key)
    if not key.strip() or len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise invalid(f"the filename must have 1 to {MAX_KEY_LENGTH} printable characters")
    return key


def _text_part(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise invalid(f"the part {name} must be text, not a file")
    return value


def _parse_wait(text: str | None) -> bool:
    word = (text or "false").strip().lower()
    if word not in ("true", "false"):
        raise invalid(f"wait_for_completion must be true or false, not {word[:50]!r}")
    return word == "true"


def _too_large() -> HttpError:
    return HttpError(413, "too large", f"a file may have {MAX_FILE_BYTES:,} bytes at most")


def parse_metadata(text: str) -> dict[str, str | float | bool]:
    """Return the metadata of a file from JSON; raises HttpError (400).

    Values are strings, finite numbers and booleans; nulls are dropped.
    """
    if len(text) > _MAX_METADATA:
        raise invalid(f"metadata is longer than {_MAX_METADATA:,} characters")
    try:
        metadata = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise invalid("metadata is not JSON") from None
    if not isinstance(metadata, dict):
        raise invalid("metadata is not a JSON object")
    for name, value in metadata.items():
        if not isinstance(value, str | int | float | bool | None):
            raise invalid(f"metadata.{name[:100]} must be a string, a number or a boolean")
        if isinstance(value, int | float) and abs(value) > 1e300:
            raise invalid(f"metadata.{name[:100]} is too large a number")
    return {
        clean(name): clean(value) if isinstance(value, str) else value
        for name, value in metadata.items()
        if value is not None
    }


def _reject_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def metadata_warnings(
    fields: Mapping[str, Field], metadata: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Return a warning for each value that filters cannot find."""
    warnings: list[dict[str, str]] = []
    for name, value in metadata.items():
        field = fields.get(name.lower())
        if field is None or field.name in RESERVED_FIELDS:
            warnings.append({"code": "custom_metadata_field_not_filterable", "field": name})
        elif to_column_value(field.type, value) is None:
            warnings.append(
                {
                    "code": "custom_metadata_value_not_indexed",
                    "field": name,
                    "expected_type": field.type,
                }
            )
    return warnings


class _SyncBody(TypedDict, total=False):
    key: str
    next_action: Literal["INDEX"]
    wait_for_completion: bool


_SYNC_SCHEMA = Schema(_SyncBody)


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """A request to index an upload, the item with a key, or the item in the path."""

    request: ApiRequest
    wait: bool
    upload: Upload | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class QueuedItem:
    """A queued item; `indexed` is done when it has a final status, None if nobody waits."""

    instance: Instance
    item: Item
    warnings: list[dict[str, str]]
    indexed: Future[None] | None = None


def upload_operation(app: AppContext) -> Operation[IndexRequest, QueuedItem]:
    """Build the operation that uploads a file, and replaces the one with the same key."""
    return Operation(
        dialect=DIALECT,
        fail=fail,
        scope="write",
        read=read_upload,
        parse=partial(_parse_upload, app),
        run=queue_item,
        timeout=app.write_timeout,
        wait=wait_until_indexed,
        respond=item_response,
    )


def sync_operation(app: AppContext, *, by_key: bool) -> Operation[IndexRequest, QueuedItem]:
    """Build the operation that indexes an item again: by the key in the body, or the path."""
    return Operation(
        dialect=DIALECT,
        fail=fail,
        scope="write",
        parse=partial(_parse_sync, app, by_key),
        run=queue_item,
        timeout=app.write_timeout,
        wait=wait_until_indexed,
        respond=item_response,
    )


def _parse_upload(app: AppContext, context: RequestContext, upload: Upload) -> IndexRequest:
    return IndexRequest(ApiRequest(app, context), upload.wait, upload=upload)


def _parse_sync(
    app: AppContext, by_key: bool, context: RequestContext, body: Body
) -> IndexRequest:
    request = parse_request(app, context, body)
    sync = _SYNC_SCHEMA.parse(request.body)
    if "next_action" not in sync:
        raise invalid("next_action is missing: it must be INDEX")
    key = sync.get("key") if by_key else None
    if by_key and key is None:
        raise invalid("key is missing")
    return IndexRequest(request, sync.get("wait_for_completion", False), key=key)


def queue_item(
    state: ServerState, context: RequestContext, index_request: IndexRequest
) -> QueuedItem:
    """Store and queue the item of a request; blocks. Raises HttpError (404)."""
    request = index_request.request
    with request.not_found_if_deleted():
        upload = index_request.upload
        queued = _requeue(index_request) if upload is None else _put(request, upload)
        instance, item = queued.instance, queued.item
        instance.item_log.add(item, "queued")
        if index_request.wait:
            future = instance.watch_item(item.id)
            # Looked up after `watch_item`, as the worker may have finished it before.
            current = instance.items.get(item.id)
            if current is not None and current.status not in FINAL_STATUSES:
                queued = replace(queued, indexed=future)
        request.app.worker.schedule(instance)
        return queued


def _put(request: ApiRequest, upload: Upload) -> QueuedItem:
    instance = request.instance
    suffix = storage_suffix(upload.key, upload.content_type)
    item = instance.items.put(
        upload.key, upload.content, suffix, upload.content_type, upload.metadata
    )
    return QueuedItem(instance, item, metadata_warnings(instance.fields, upload.metadata))


def _requeue(index_request: IndexRequest) -> QueuedItem:
    instance, key = index_request.request.instance, index_request.key
    if key is None:
        known: Item | None = index_request.request.find_item()
    else:
        known = instance.items.get_by_key(check_key(key))
    item = None if known is None else instance.items.requeue(known.id)
    if item is None:
        raise not_found(f"item {key!r}: upload it first")
    return QueuedItem(instance, item, [])


async def wait_until_indexed(
    context: RequestContext, index_request: IndexRequest, queued: QueuedItem
) -> QueuedItem:
    """Wait for the item if the client asked to, 40 seconds at most, and read it again."""
    if queued.indexed is not None:
        indexed = asyncio.wrap_future(queued.indexed)
        await asyncio.wait({indexed}, timeout=MAX_WAIT_SECONDS)
        indexed.cancel()
    if not index_request.wait:
        return queued
    return await asyncio.to_thread(_reload, index_request, queued)


def _reload(index_request: IndexRequest, queued: QueuedItem) -> QueuedItem:
    with index_request.request.not_found_if_deleted():
        item = queued.instance.items.get(queued.item.id)
    if item is None:
        raise not_found(f"item {queued.item.key!r}: it was deleted meanwhile")
    return replace(queued, item=item)


def item_response(
    context: RequestContext, index_request: IndexRequest, queued: QueuedItem
) -> Any:
    """Return the item as clients see it, with the warnings for its metadata."""
    body = queued.item.to_json(queued.instance.namespace)
    warnings = [*queued.warnings, *body.get("warnings", [])]
    return ok({**body, "warnings": warnings} if warnings else body)
