"""The endpoints that put files into an instance, and wait until they can be found.

The metadata that comes with a file: read, and told what of it cannot be filtered on.

A file in a multipart body, read within limits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from typing_extensions import TypedDict

from secondpass.errors import MissingExtraError
from secondpass.inference.tokenizer import clean
from secondpass.server.cloudflare.context import AppContext, CloudflareCall
from secondpass.server.cloudflare.filters import RESERVED, Field, kept
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.items import SETTLED, Item, suffix_for
from secondpass.server.cloudflare.responses import missing, ok
from secondpass.server.cloudflare.schemas import Form
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work

_LONGEST = 10_000


def read_metadata(text: str) -> dict[str, str | float | bool]:
    """Return the object in a JSON text; raises Problem (400).

    Values are texts, finite numbers and booleans; null counts as absent.
    """
    if len(text) > _LONGEST:
        raise invalid(f"metadata is longer than {_LONGEST:,} characters")
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise invalid("metadata is not JSON") from None
    if not isinstance(found, dict):
        raise invalid("metadata is not a JSON object")
    for name, value in found.items():
        if not isinstance(value, str | int | float | bool | None):
            raise invalid(f"metadata.{name[:100]} must be a string, a number or a boolean")
        if isinstance(value, int | float) and abs(value) > 1e300:
            raise invalid(f"metadata.{name[:100]} is too large a number")
    return {
        clean(name): clean(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def warnings(fields: Mapping[str, Field], given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return which of the values filters will not see."""
    found: list[dict[str, str]] = []
    for name, value in given.items():
        field = fields.get(name.lower())
        if field is None or field.name in RESERVED:
            found.append({"code": "custom_metadata_field_not_filterable", "field": name})
        elif kept(field.kind, value) is None:
            found.append(
                {
                    "code": "custom_metadata_value_not_indexed",
                    "field": name,
                    "expected_type": field.kind,
                }
            )
    return found


MOST_BYTES = 4 * 1024 * 1024
"""How long a file may be."""
LONGEST_KEY = 128
_AROUND = 64 * 1024
_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: its key, its bytes, and what came with it."""

    key: str
    data: bytes
    content_type: str
    metadata: dict[str, Any]
    wait: bool


async def read_upload(request: Request, most: int) -> Upload:
    """Return the file in a request of at most `most` bytes.

    Raises Problem: 413 for what is too long, 400 for what is no such body, MissingExtraError
    without the package that reads them.
    """
    try:
        from python_multipart.exceptions import FormParserError
    except ImportError as error:
        raise MissingExtraError(
            "An upload", package="python-multipart", extra="server"
        ) from error
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise invalid("an upload must be multipart/form-data, with the parts file and metadata")
    parser = MultiPartParser(
        request.headers,
        _bounded(request, min(most, MOST_BYTES + _AROUND)),
        max_files=1,
        max_fields=_FIELDS,
        max_part_size=_AROUND,
    )
    try:
        return await _read(await parser.parse())
    except MultiPartException as error:
        raise invalid(f"the body cannot be read: {error.message}") from None
    except (LookupError, UnicodeError, FormParserError):
        raise invalid("the body cannot be read: it is no multipart/form-data") from None
    finally:
        # The parser closes them only after errors of its own.
        for file in getattr(parser, "_files_to_close_on_error", ()):
            file.close()


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    got = 0
    async for some in request.stream():
        got += len(some)
        if got > most:
            raise _too_long()
        yield some


async def _read(form: FormData) -> Upload:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise invalid("the part file is missing, or has no filename")
    data = await file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _too_long()
    return Upload(
        check_key(file.filename or ""),
        data,
        (file.content_type or "application/octet-stream")[:200],
        read_metadata(_text(form, "metadata") or "{}"),
        _flag(_text(form, "wait_for_completion")),
    )


def check_key(key: str) -> str:
    """Return the key of a file; raises Problem (400) for one that cannot be."""
    key = clean(key)
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        raise invalid(f"the filename must have 1 to {LONGEST_KEY} characters that can be seen")
    return key


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise invalid(f"the part {name} must be a text")
    return value


def _flag(text: str | None) -> bool:
    word = (text or "false").strip().lower()
    if word not in ("true", "false"):
        raise invalid(f"wait_for_completion must be true or false, not {word[:50]!r}")
    return word == "true"


def _too_long() -> HttpError:
    return HttpError(413, "too large", f"a file may have {MOST_BYTES:,} bytes at most")


LONGEST_WAIT = 40.0
"""Seconds that a client may wait for a file to be indexed."""
_Placed = tuple[Instance, Item, list[dict[str, str]]]


class _Sync(TypedDict, total=False):
    key: str
    next_action: Literal["INDEX"]
    wait_for_completion: bool


_SYNC = Form(_Sync)


def upload(handler: RequestHandler, hub: AppContext) -> Work:
    """Return what takes a file, in the place of one with the same key."""

    async def work(context: RequestContext) -> Any:
        sent = await read_upload(context.request, handler.most_bytes(context))
        call = CloudflareCall(hub, context)
        return await _placed(handler, call, sent.wait, lambda: _put(call, sent))

    return work


def sync(handler: RequestHandler, hub: AppContext, *, by_key: bool) -> Work:
    """Return what lets a file be indexed again: the one in the path, or the one of a key."""

    async def work(context: RequestContext) -> Any:
        call = CloudflareCall(hub, context, (await handler.body(context)).found)
        sent = _SYNC.read(call.body)
        if "next_action" not in sent:
            raise invalid("next_action is missing: it must be INDEX")
        wait = sent.get("wait_for_completion", False)
        key = sent.get("key") if by_key else None
        if by_key and key is None:
            raise invalid("key is missing")
        return await _placed(handler, call, wait, lambda: _queue(call, key))

    return work


def _put(call: CloudflareCall, sent: Upload) -> _Placed:
    instance = call.instance
    suffix = suffix_for(sent.key, sent.content_type)
    item = instance.items.put(sent.key, sent.data, suffix, sent.content_type, sent.metadata)
    return instance, item, warnings(instance.fields, sent.metadata)


def _queue(call: CloudflareCall, key: str | None) -> _Placed:
    instance = call.instance
    if key is None:
        known: Item | None = call.item(instance)
    else:
        known = instance.items.by_key(check_key(key))
    item = None if known is None else instance.items.queue(known.id)
    if item is None:
        raise missing(f"item {key!r}: files are put in by upload")
    return instance, item, []


async def _placed(
    handler: RequestHandler, call: CloudflareCall, wait: bool, place: Callable[[], _Placed]
) -> Any:
    """Put or queue a file, and wait for it where that was asked for."""
    watched: list[Future[None]] = []

    def placed() -> _Placed:
        instance, item, warned = place()
        instance.log.add(item, "queued")
        if wait:
            future = instance.watch(item.id)
            # It may be done already; from here on, who ends it tells.
            now = instance.items.get(item.id)
            if now is not None and now.status not in SETTLED:
                watched.append(future)
        call.hub.worker.wake(instance)
        return instance, item, warned

    timeout = handler.state.settings.write_timeout
    instance, item, warned = await handler.done(
        call.context, lambda: call.answered(lambda _: placed()), timeout=timeout
    )
    if watched:
        waiting = asyncio.wrap_future(watched[0])
        await asyncio.wait({waiting}, timeout=LONGEST_WAIT)
        waiting.cancel()
    if wait:
        item = await handler.done(
            call.context, lambda: call.answered(lambda _: instance.items.get(item.id))
        )
        if item is None:
            raise missing("item of this key any more")
    return ok(item.shown(instance.namespace) | ({"warnings": warned} if warned else {}))
