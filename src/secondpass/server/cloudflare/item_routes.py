"""Endpoints that list, read, download and delete items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from secondpass.retrieve.json_filter import Condition, matches
from secondpass.server.cloudflare.context import ApiRequest
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.filters import Field, parse_filter
from secondpass.server.cloudflare.indexing import item_chunks
from secondpass.server.cloudflare.items import STATUSES, UPLOAD_SOURCE, Item
from secondpass.server.cloudflare.responses import list_page, not_found, ok
from secondpass.server.cloudflare.schemas import query_int
from secondpass.server.http_errors import invalid

_STATUS_ORDER = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(STATUSES))
_ORDER_BY = {
    "status": f"CASE status {_STATUS_ORDER} END, seen_at DESC, id",
    "modified_at": "modified_at DESC, id",
}
_MAX_PER_PAGE = 50
_MAX_CHUNKS = 1000
_MAX_LOG_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """Which items to list, and in which order; None and no conditions match every item."""

    status: str | None = None
    key: str | None = None
    id: str | None = None
    key_contains: str | None = None
    conditions: Sequence[Condition] = ()
    sort_by: str = "status"


def parse_item_query(query: Mapping[str, str], fields: dict[str, Field]) -> ItemQuery:
    """Return the items that query parameters select; raises HttpError (400)."""
    for name, allowed in (("status", STATUSES), ("sort_by", tuple(_ORDER_BY))):
        if query.get(name) and query[name] not in allowed:
            raise invalid(f"{name} must be one of {', '.join(allowed)}")
    conditions = []
    if query.get("metadata_filter"):
        try:
            filters = json.loads(query["metadata_filter"])
        except (ValueError, RecursionError):
            raise invalid("metadata_filter is not JSON") from None
        conditions = parse_filter(filters, fields)
    return ItemQuery(
        query.get("status") or None,
        query.get("key"),
        query.get("item_id"),
        query.get("search"),
        conditions,
        query.get("sort_by") or "status",
    )


def select_items(
    database: Database, query: ItemQuery, fields: dict[str, Field], *, start: int, count: int
) -> tuple[list[Item], int]:
    """Return up to `count` matching items from position `start` on, and their total number."""
    where, values = ["next_action IS NOT 'DELETE'"], list[Any]()
    for column, value in (("status", query.status), ("key", query.key), ("id", query.id)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if query.key_contains is not None:
        where.append("INSTR(LOWER(key), LOWER(?)) > 0")
        values.append(query.key_contains)
    selected = f"FROM items WHERE {' AND '.join(where)}"
    ordered = f"SELECT * {selected} ORDER BY {_ORDER_BY[query.sort_by]}"
    if query.conditions:
        items = [Item.from_row(row) for row in database.fetch_all(ordered, *values)]
        matching = [i for i in items if matches(query.conditions, i.index_columns(fields))]
        return matching[start : start + count], len(matching)
    total = database.fetch_one(f"SELECT COUNT(*) AS n {selected}", *values)
    assert total is not None
    rows = database.fetch_all(f"{ordered} LIMIT ? OFFSET ?", *values, count, start)
    return [Item.from_row(row) for row in rows], total["n"]


def list_items(request: ApiRequest) -> Any:
    """Return a page of the items of an instance."""
    instance = request.instance
    fields, query = instance.fields, request.query
    page, size = request.page(max_per_page=_MAX_PER_PAGE)
    if query.get("source", UPLOAD_SOURCE) != UPLOAD_SOURCE:
        return list_page([], page=page, per_page=size, total=0)
    item_query = parse_item_query(query, fields)
    items, total = select_items(
        instance.database, item_query, fields, start=(page - 1) * size, count=size
    )
    rows = [item.to_json(instance.namespace) for item in items]
    return list_page(rows, page=page, per_page=size, total=total)


def get_item(request: ApiRequest) -> Any:
    """Return one item."""
    return ok(request.find_item().to_json(request.namespace))


def delete_item(request: ApiRequest) -> Any:
    """Delete an item; no search returns it from now on."""
    instance, item = request.instance, request.find_item()
    instance.items.delete(item.id)
    instance.mark_changed()
    request.app.worker.schedule(instance)
    return ok({"key": item.key})


def list_chunks(request: ApiRequest) -> Any:
    """Return chunks of an item in the index."""
    instance, item = request.instance, request.find_item()
    start = query_int(request.query, "offset", 0, minimum=0, maximum=10**9)
    count = query_int(request.query, "limit", 20, maximum=_MAX_CHUNKS)
    with instance.not_found_if_deleted():
        chunks = item_chunks(instance, item)[start : start + count]
    item_json = {
        "key": item.key,
        "timestamp": item.modified_at,
        "metadata": item.metadata_json(),
    }
    return ok([{"id": chunk.id, "text": chunk.text, "item": item_json} for chunk in chunks])


def list_item_logs(request: ApiRequest) -> Any:
    """Return the log of an item, newest first; the cursor leads to older entries."""
    instance, item = request.instance, request.find_item()
    has_cursor = bool(request.query.get("cursor"))
    before = query_int(request.query, "cursor", 1, maximum=10**9) if has_cursor else None
    count = query_int(request.query, "limit", 20, maximum=_MAX_LOG_ENTRIES)
    entries = instance.item_log.read(item, before=before, count=count)
    cursor = str(entries[-1]["number"]) if len(entries) == count else None
    rows = [{k: v for k, v in entry.items() if k != "number"} for entry in entries]
    return {**ok(rows), "result_info": {"count": len(rows), "cursor": cursor}}


def download_item(request: ApiRequest) -> Any:
    """Return the file as it was uploaded."""
    instance, item = request.instance, request.find_item()
    try:
        content = instance.items.raw.path(item.file).read_bytes()
    except FileNotFoundError:
        # A concurrent upload has replaced it.
        item = request.find_item()
        try:
            content = instance.items.raw.path(item.file).read_bytes()
        except FileNotFoundError:
            raise not_found(f"file of {item.key!r}") from None
    name = quote(item.key.rpartition("/")[2], safe="")
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        # An uploaded page must not run scripts in the origin of this server.
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox",
    }
    return Response(content, media_type=_media_type(item.content_type), headers=headers)


def _media_type(content_type: str) -> str:
    valid = content_type.isascii() and content_type.isprintable() and "/" in content_type
    return content_type if valid else "application/octet-stream"
