"""The namespaces of each tenant: names, descriptions, and their public endpoints.

How namespaces and instances may be called, and where their collections are.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from pathlib import Path
from typing import Any

from secondpass.errors import ReadError
from secondpass.retrieve.settings import write_json
from secondpass.server.cloudflare.responses import exists, iso, missing, now
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.index_catalog import IndexKey

DEFAULT = "default"
"""The namespace that everybody has."""
RECORD = "cloudflare"
"""What of a collection's own JSON is this dialect's."""
_PREFIX = "cloudflare-"
_NAME = re.compile(r"[a-z0-9_]+(?:-[a-z0-9_]+)*")
_LONGEST = 64


def check_name(what: str, name: str) -> str:
    """Return the name; raises Problem (400) for one that cannot be."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise invalid(
            f"{what} must be 1 to {_LONGEST} small letters, digits and underscores, with "
            f"single hyphens between them, not {name[:100]!r}"
        )
    return name


def place(tenant: str, namespace: str, name: str) -> IndexKey:
    """Return where the collection of an instance is."""
    return IndexKey(tenant, _PREFIX + namespace, name)


def namespace_of(folder: str) -> str | None:
    """Return which namespace a collection's namespace stands for, or None."""
    return folder.removeprefix(_PREFIX) if folder.startswith(_PREFIX) else None


# No tenant and no namespace can be called so.
_FOLDER = ".cloudflare"
_FILE = "namespaces.json"
_MOST = 1000
Record = dict[str, Any]


class NamespaceRegistry:
    """A file of namespaces for each tenant, in the folder of what clients make.

    Everybody has the namespace "default". Safe to use from several threads at once.
    """

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._lock = threading.RLock()
        self._read: dict[str, dict[str, Record]] = {}

    def tenants(self) -> list[str]:
        """Return whose namespaces are written down."""
        if self._data is None or not self._data.is_dir():
            return []
        return [path.parent.parent.name for path in self._data.glob(f"*/{_FOLDER}/{_FILE}")]

    def listed(self, tenant: str) -> list[Record]:
        """Return all namespaces of a tenant, the oldest first."""
        with self._lock:
            return list(self._of(tenant).values())

    def get(self, tenant: str, name: str) -> Record:
        """Return a namespace; raises Problem (404)."""
        with self._lock:
            found = self._of(tenant).get(name)
        if found is None:
            raise missing(f"namespace {name!r}")
        return found

    def create(self, tenant: str, name: str, **said: Any) -> Record:
        """Add a namespace; raises Problem: 409 where there is one, 403 without a folder."""
        with self._lock:
            known = self._of(tenant)
            if name in known:
                raise exists(f"namespace {name!r}")
            if len(known) >= _MOST:
                raise HttpError(400, "invalid", f"there are {_MOST:,} namespaces already")
            made = {**_new(name, now()), **said}
            return self._keep(tenant, made)

    def update(self, tenant: str, name: str, **said: Any) -> Record:
        """Change what is said of a namespace; raises Problem: 404, or 403."""
        with self._lock:
            return self._keep(tenant, {**self.get(tenant, name), **said})

    def delete(self, tenant: str, name: str) -> Record:
        """Remove a namespace; raises Problem: 404, or 403."""
        with self._lock:
            found = self.get(tenant, name)
            rest = {k: v for k, v in self._of(tenant).items() if k != name}
            self._write(tenant, rest)
        return found

    def _keep(self, tenant: str, record: Record) -> Record:
        if (record["public_endpoint_params"] or {}).get("enabled"):
            # Made once and never again: switched off and on, the address stays.
            record["public_endpoint_id"] = record["public_endpoint_id"] or f"ns-{_number()}"
        self._write(tenant, {**self._of(tenant), record["name"]: record})
        return record

    def _of(self, tenant: str) -> dict[str, Record]:
        if tenant not in self._read:
            found = _load(self._file(tenant))
            self._read[tenant] = {DEFAULT: _new(DEFAULT, 0), **found}
        return self._read[tenant]

    def _write(self, tenant: str, records: dict[str, Record]) -> None:
        file = self._file(tenant)
        if file is None:
            raise HttpError(403, "read only", "this server was started without --data")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, records)
        self._read[tenant] = records

    def _file(self, tenant: str) -> Path | None:
        return None if self._data is None else self._data / tenant / _FOLDER / _FILE


def shown(record: Record) -> Record:
    """Return a namespace as clients see it."""
    return {**record, "created_at": iso(record["created_at"])}


def new_endpoint() -> str:
    """Return an id for the public endpoint of an instance."""
    return _number()


def _number() -> str:
    return uuid.uuid4().hex


def _new(name: str, moment: int) -> Record:
    return {
        "name": name,
        "description": None,
        "created_at": moment,
        "public_endpoint_id": None,
        "public_endpoint_params": None,
    }


def _load(file: Path | None) -> dict[str, Record]:
    if file is None or not file.exists():
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))
        return {str(name): {**_new(name, 0), **record} for name, record in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ReadError(
            "The namespaces cannot be read", where=file.name, why=str(error)
        ) from error
