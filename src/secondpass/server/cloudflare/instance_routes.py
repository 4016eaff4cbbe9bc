"""Endpoints of instances."""

from __future__ import annotations

from typing import Any

from secondpass.server.cloudflare.context import ApiRequest
from secondpass.server.cloudflare.items import STATUSES
from secondpass.server.cloudflare.responses import ok, to_iso
from secondpass.server.http_errors import invalid


def create_instance(request: ApiRequest) -> Any:
    """Create an instance."""
    instance = request.app.create_instance(request.context, request.namespace, request.body)
    return ok(instance.to_json())


def list_instances(request: ApiRequest) -> Any:
    """Return a page of the instances of a namespace, newest first."""
    query = request.query
    namespace = request.namespace
    if request.path_param("namespace") is None and query.get("namespace"):
        record = request.app.namespaces.get(request.tenant, query["namespace"])
        namespace = record["name"]
    if query.get("order_by", "created_at") != "created_at":
        raise invalid("order_by must be created_at")
    direction = query.get("order_by_direction", "desc")
    if direction not in ("asc", "desc"):
        raise invalid("order_by_direction must be asc or desc")
    text = query.get("search", "").lower()
    instances = [
        instance
        for instance in request.app.list_instances(request.tenant, namespace)
        if text in instance.name
    ]
    instances.sort(key=lambda i: i.record["created_at"], reverse=direction == "desc")
    page = request.paginate(instances)
    return {**page, "result": [instance.to_json() for instance in page["result"]]}


def get_instance(request: ApiRequest) -> Any:
    """Return one instance."""
    return ok(request.instance.to_json())


def update_instance(request: ApiRequest) -> Any:
    """Change the settings in the body."""
    instance = request.instance
    request.app.update_instance(request.context, instance, request.body)
    return ok(instance.to_json())


def delete_instance(request: ApiRequest) -> Any:
    """Delete an instance with all its files, and return it."""
    instance = request.instance
    body = instance.to_json()
    request.app.delete_instance(instance)
    return ok(body)


def get_stats(request: ApiRequest) -> Any:
    """Return the number of items with each status, and the size of the index."""
    instance = request.instance
    counts, totals = instance.items.status_counts(), instance.items.totals()
    with instance.not_found_if_deleted():
        store = instance.index().store
        engine = {
            "vectorize": {"dimensions": store.dimension, "vectorsCount": store.count()},
            "r2": {
                "objectCount": totals.files,
                "payloadSizeBytes": totals.bytes,
                "metadataSizeBytes": totals.metadata_bytes,
            },
        }
    return ok(
        {
            **{status: counts.get(status, 0) for status in STATUSES},
            "last_activity": to_iso(totals.last_seen),
            "file_embed_errors": instance.items.error_counts(),
            "index_source_errors": {},
            "degraded": False,
            "engine": engine,
        }
    )
