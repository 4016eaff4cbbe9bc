"""The endpoints for instances."""

from __future__ import annotations

from typing import Any

from secondpass.server.cloudflare.context import CloudflareCall
from secondpass.server.cloudflare.items import STATUSES
from secondpass.server.cloudflare.responses import iso, ok
from secondpass.server.http_errors import invalid


def create(call: CloudflareCall) -> Any:
    """Make an instance."""
    return ok(call.hub.create(call.context, call.namespace, call.body).shown())


def list_them(call: CloudflareCall) -> Any:
    """Return a page of the instances of a namespace, the newest first."""
    query = call.query
    namespace = call.namespace
    if call.named("namespace") is None and query.get("namespace"):
        namespace = call.hub.book.get(call.tenant, query["namespace"])["name"]
    if query.get("order_by", "created_at") != "created_at":
        raise invalid("order_by must be created_at")
    direction = query.get("order_by_direction", "desc")
    if direction not in ("asc", "desc"):
        raise invalid("order_by_direction must be asc or desc")
    part = query.get("search", "").lower()
    found = [i for i in call.hub.listed(call.tenant, namespace) if part in i.name]
    found.sort(key=lambda i: i.record["created_at"], reverse=direction == "desc")
    paged = call.paged(found)
    return {**paged, "result": [instance.shown() for instance in paged["result"]]}


def get(call: CloudflareCall) -> Any:
    """Return one instance."""
    return ok(call.instance.shown())


def update(call: CloudflareCall) -> Any:
    """Change the settings that are sent."""
    instance = call.instance
    call.hub.update(call.context, instance, call.body)
    return ok(instance.shown())


def delete(call: CloudflareCall) -> Any:
    """Remove an instance with all its files, and return what it was."""
    instance = call.instance
    shown = instance.shown()
    call.hub.delete(instance)
    return ok(shown)


def stats(call: CloudflareCall) -> Any:
    """Return how many files have which status, and what the index holds."""
    instance = call.instance
    counts = instance.items.counts()
    files, size, metadata, last = instance.items.totals()
    with instance.present():
        index = instance.index()
        engine = {
            "vectorize": {
                "dimensions": index.dimension,
                "vectorsCount": index.count_passages(),
            },
            "r2": {
                "objectCount": files,
                "payloadSizeBytes": size,
                "metadataSizeBytes": metadata,
            },
        }
    return ok(
        {
            **{status: counts.get(status, 0) for status in STATUSES},
            "last_activity": iso(last),
            "file_embed_errors": instance.items.errors(),
            "index_source_errors": {},
            "degraded": False,
            "engine": engine,
        }
    )
