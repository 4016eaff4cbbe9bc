"""The endpoints for the files of an instance, but for putting them in.

Which files a list shows, and in which order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from secondpass.server.cloudflare.context import CloudflareCall
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.filters import Condition, Field, holds, read_filter
from secondpass.server.cloudflare.indexing import chunks_of
from secondpass.server.cloudflare.items import BUILT_IN, STATUSES, Item
from secondpass.server.cloudflare.responses import listed, missing, ok
from secondpass.server.cloudflare.schemas import whole
from secondpass.server.http_errors import invalid

_BY_STATUS = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(STATUSES))
_ORDERS = {
    "status": f"CASE status {_BY_STATUS} END, seen_at DESC, id",
    "modified_at": "modified_at DESC, id",
}
SORTS = tuple(_ORDERS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list shall hold; None and no conditions let everything through."""

    status: str | None = None
    key: str | None = None
    item: str | None = None
    part_of_key: str | None = None
    conditions: Sequence[Condition] = ()
    sort: str = "status"


def list_items(
    database: Database, wanted: Wanted, fields: dict[str, Field], *, start: int, count: int
) -> tuple[list[Item], int]:
    """Return the items from place `start` on, and how many there are in all."""
    where, values = ["next_action IS NOT 'DELETE'"], list[Any]()
    for column, value in (
        ("status", wanted.status),
        ("key", wanted.key),
        ("id", wanted.item),
    ):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if wanted.part_of_key is not None:
        where.append("INSTR(LOWER(key), LOWER(?)) > 0")
        values.append(wanted.part_of_key)
    chosen = f"FROM items WHERE {' AND '.join(where)}"
    ordered = f"SELECT * {chosen} ORDER BY {_ORDERS[wanted.sort]}"
    if wanted.conditions:
        items = [Item.of(row) for row in database.rows(ordered, *values)]
        passed = [i for i in items if holds(wanted.conditions, i.columns(fields))]
        return passed[start : start + count], len(passed)
    total = database.one(f"SELECT COUNT(*) AS n {chosen}", *values)
    assert total is not None
    rows = database.rows(f"{ordered} LIMIT ? OFFSET ?", *values, count, start)
    return [Item.of(row) for row in rows], total["n"]


_MOST_PER_PAGE = 50
_MOST_CHUNKS = 1000
_MOST_ENTRIES = 100


def list_them(call: CloudflareCall) -> Any:
    """Return a page of the files of an instance."""
    instance = call.instance
    fields, query = instance.fields, call.query
    page, size = call.page(most=_MOST_PER_PAGE)
    if query.get("source", BUILT_IN) != BUILT_IN:
        return listed([], page=page, per_page=size, total=0)
    wanted = _wanted(query, fields)
    items, total = list_items(
        instance.database, wanted, fields, start=(page - 1) * size, count=size
    )
    rows = [item.shown(instance.namespace) for item in items]
    return listed(rows, page=page, per_page=size, total=total)


def _wanted(query: Mapping[str, str], fields: dict[str, Field]) -> Wanted:
    for name, known in (("status", STATUSES), ("sort_by", SORTS)):
        if query.get(name) and query[name] not in known:
            raise invalid(f"{name} must be one of {', '.join(known)}")
    conditions = []
    if query.get("metadata_filter"):
        try:
            found = json.loads(query["metadata_filter"])
        except (ValueError, RecursionError):
            raise invalid("metadata_filter is not JSON") from None
        conditions = read_filter(found, fields)
    return Wanted(
        query.get("status") or None,
        query.get("key"),
        query.get("item_id"),
        query.get("search"),
        conditions,
        query.get("sort_by") or "status",
    )


def get(call: CloudflareCall) -> Any:
    """Return one file."""
    return ok(call.item(call.instance).shown(call.namespace))


def delete(call: CloudflareCall) -> Any:
    """Take a file out; from now on no search finds it."""
    instance = call.instance
    item = call.item(instance)
    instance.items.delete(item.id)
    instance.has_changed()
    call.hub.worker.wake(instance)
    return ok({"key": item.key})


def chunks(call: CloudflareCall) -> Any:
    """Return the chunks of a file that the index holds."""
    instance = call.instance
    item = call.item(instance)
    start = whole(call.query, "offset", 0, least=0, most=10**9)
    count = whole(call.query, "limit", 20, most=_MOST_CHUNKS)
    with instance.present():
        found = chunks_of(instance, item)[start : start + count]
    shown = {
        "key": item.key,
        "timestamp": item.modified_at,
        "metadata": item.shown_metadata(),
    }
    return ok([{"id": chunk.id, "text": chunk.text, "item": shown} for chunk in found])


def logs(call: CloudflareCall) -> Any:
    """Return what happened to a file, the latest first; the cursor leads to what was before."""
    instance = call.instance
    item = call.item(instance)
    cursor = call.query.get("cursor")
    before = whole(call.query, "cursor", 1, most=10**9) if cursor else None
    count = whole(call.query, "limit", 20, most=_MOST_ENTRIES)
    found = instance.log.read(item, before=before, count=count)
    following = found[-1]["number"] if len(found) == count else None
    rows = [{k: v for k, v in entry.items() if k != "number"} for entry in found]
    info = {"count": len(rows), "cursor": None if following is None else str(following)}
    return {**ok(rows), "result_info": info}


def download(call: CloudflareCall) -> Any:
    """Return the file as it was uploaded."""
    instance = call.instance
    item = call.item(instance)
    try:
        data = instance.items.raw.path(item.file).read_bytes()
    except FileNotFoundError:
        # Replaced just now.
        item = call.item(instance)
        try:
            data = instance.items.raw.path(item.file).read_bytes()
        except FileNotFoundError:
            raise missing(f"file of {item.key!r}") from None
    name = quote(item.key.rpartition("/")[2], safe="")
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        # What strangers uploaded must not run as a page of this server.
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox",
    }
    return Response(data, media_type=_media_type(item.content_type), headers=headers)


def _media_type(said: str) -> str:
    plain = said.isascii() and said.isprintable() and "/" in said
    return said if plain else "application/octet-stream"
