"""Namespaces of each tenant, and the names and index keys of instances."""

from __future__ import annotations

import json
import re
import threading
import uuid
from pathlib import Path
from typing import Any

from secondpass.errors import ReadError
from secondpass.retrieve.settings import write_json
from secondpass.server.cloudflare.responses import already_exists, not_found, now_ms, to_iso
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.index_catalog import IndexKey

DEFAULT_NAMESPACE = "default"
"""The namespace that every tenant has."""
RECORD_KEY = "cloudflare"
"""The key of an instance's record in the JSON of its index."""
_KEY_PREFIX = "cloudflare-"
_NAME = re.compile(r"[a-z0-9_]+(?:-[a-z0-9_]+)*")
_MAX_NAME = 64


def check_name(parameter: str, name: str) -> str:
    """Return the name of an instance or a namespace; raises HttpError (400) if invalid."""
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise invalid(
            f"{parameter} must be 1 to {_MAX_NAME} lower-case letters, digits and underscores, "
            f"with single hyphens between them, not {name[:100]!r}"
        )
    return name


def index_key(tenant: str, namespace: str, name: str) -> IndexKey:
    """Return the key of an instance in the index catalog."""
    return IndexKey(tenant, _KEY_PREFIX + namespace, name)


def namespace_of(catalog_namespace: str) -> str | None:
    """Return the namespace of a catalog's namespace; None for those of other dialects."""
    if not catalog_namespace.startswith(_KEY_PREFIX):
        return None
    return catalog_namespace.removeprefix(_KEY_PREFIX)


# No tenant and no namespace can have this name.
_FOLDER = ".cloudflare"
_FILE = "namespaces.json"
_MAX_NAMESPACES = 1000
Record = dict[str, Any]


class NamespaceRegistry:
    """Stores the namespaces of each tenant in a file of the data folder.

    Every tenant has the namespace "default". Thread-safe.
    """

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._lock = threading.RLock()
        self._cache: dict[str, dict[str, Record]] = {}

    def tenants(self) -> list[str]:
        """Return the tenants that have a file of namespaces."""
        if self._data is None or not self._data.is_dir():
            return []
        return [path.parent.parent.name for path in self._data.glob(f"*/{_FOLDER}/{_FILE}")]

    def list_namespaces(self, tenant: str) -> list[Record]:
        """Return all namespaces of a tenant, oldest first."""
        with self._lock:
            return list(self._records(tenant).values())

    def get(self, tenant: str, name: str) -> Record:
        """Return a namespace; raises HttpError (404)."""
        with self._lock:
            record = self._records(tenant).get(name)
        if record is None:
            raise not_found(f"namespace {name!r}")
        return record

    def create(self, tenant: str, name: str, **properties: Any) -> Record:
        """Add a namespace; raises HttpError: 409 if the name is taken, 403 without --data."""
        with self._lock:
            records = self._records(tenant)
            if name in records:
                raise already_exists(f"namespace {name!r}")
            if len(records) >= _MAX_NAMESPACES:
                raise HttpError(
                    400, "invalid", f"there are {_MAX_NAMESPACES:,} namespaces already"
                )
            return self._store(tenant, {**_new_record(name, now_ms()), **properties})

    def update(self, tenant: str, name: str, **properties: Any) -> Record:
        """Change properties of a namespace; raises HttpError (404 or 403)."""
        with self._lock:
            return self._store(tenant, {**self.get(tenant, name), **properties})

    def delete(self, tenant: str, name: str) -> Record:
        """Remove a namespace and return it; raises HttpError (404 or 403)."""
        with self._lock:
            record = self.get(tenant, name)
            remaining = {k: v for k, v in self._records(tenant).items() if k != name}
            self._write(tenant, remaining)
        return record

    def _store(self, tenant: str, record: Record) -> Record:
        if (record["public_endpoint_params"] or {}).get("enabled"):
            # The address stays the same when the endpoint is disabled and enabled again.
            record["public_endpoint_id"] = (
                record["public_endpoint_id"] or f"ns-{new_endpoint_id()}"
            )
        self._write(tenant, {**self._records(tenant), record["name"]: record})
        return record

    def _records(self, tenant: str) -> dict[str, Record]:
        if tenant not in self._cache:
            stored = _read_records(self._path(tenant))
            default = _new_record(DEFAULT_NAMESPACE, 0)
            self._cache[tenant] = {DEFAULT_NAMESPACE: default, **stored}
        return self._cache[tenant]

    def _write(self, tenant: str, records: dict[str, Record]) -> None:
        path = self._path(tenant)
        if path is None:
            raise HttpError(403, "read only", "this server was started without --data")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, records)
        self._cache[tenant] = records

    def _path(self, tenant: str) -> Path | None:
        return None if self._data is None else self._data / tenant / _FOLDER / _FILE


def namespace_json(record: Record) -> Record:
    """Return a namespace as clients see it."""
    return {**record, "created_at": to_iso(record["created_at"])}


def new_endpoint_id() -> str:
    """Return a random id for a public endpoint."""
    return uuid.uuid4().hex


def _new_record(name: str, created_at: int) -> Record:
    return {
        "name": name,
        "description": None,
        "created_at": created_at,
        "public_endpoint_id": None,
        "public_endpoint_params": None,
    }


def _read_records(path: Path | None) -> dict[str, Record]:
    if path is None or not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text("utf-8"))
        return {str(name): {**_new_record(name, 0), **r} for name, r in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ReadError(
            "The namespaces cannot be read", where=path.name, why=str(error)
        ) from error
