"""API keys: where requests carry them, and the file that stores their hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from secondpass.errors import InputError, ReadError, nearest
from secondpass.server.http_errors import HttpError
from secondpass.storage import replace_file

SCOPES = ("rerank", "search", "write", "admin")
"""What a key may do; "admin" is everything that its tenant may."""
TENANT = "default"
# Each vendor's clients send the key in another header.
_KEY_HEADERS = ("x-api-key", "x-auth-key", "x-auth-user-service-key", "api-key")
_SCHEMES = ("bearer", "token")
# KnowledgeSDK's clients refuse keys without such a prefix, so it may precede one of ours.
_VENDOR_PREFIXES = ("sk_ks_", "knowledgesdk_live_", "knowledgesdk_test_", "knowledgesdk_")
_FORMAT = 1
_PREFIX = "sp"
_RELOAD_SECONDS = 1.0
_LIMITS = ("per_minute", "max_documents", "max_body")
_TENANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


def key_in(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, or None.

    `Authorization` with the scheme Bearer or Token comes first, then the headers that carry
    nothing but a key. A vendor's prefix is removed.
    """
    scheme, _, key = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in _SCHEMES and key.strip():
        return _remove_vendor_prefix(key.strip())
    values = (headers[name].strip() for name in _KEY_HEADERS if headers.get(name))
    return next(map(_remove_vendor_prefix, values), None)


def _remove_vendor_prefix(key: str) -> str:
    prefix = next((prefix for prefix in _VENDOR_PREFIXES if key.startswith(prefix)), "")
    return key[len(prefix) :]


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """The entry of a key in the file, which does not have the key itself.

    - `sha256`: of the whole key, whose 256 random bits cannot be guessed from the hash.
    - `tenant`: whose indexes it can use, and no others.
    - `per_minute`, `max_documents`, `max_body`: requests a minute, documents and bytes a
      request; None for no limit but the server's own.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    sha256: str
    created: str
    tenant: str = TENANT
    per_minute: int | None = None
    max_documents: int | None = None
    max_body: int | None = None

    def may(self, scope: str) -> bool:
        """Return whether this key has the scope."""
        return scope in self.scopes or "admin" in self.scopes

    def allow(self, scope: str) -> None:
        """Raise HttpError (403) where this key does not have the scope."""
        if not self.may(scope):
            raise HttpError(403, "scope", f"this key is not for {scope}")


ANYBODY = KeyEntry("", "anybody", ("admin",), "", "")
"""The caller of a server that has no keys."""


class KeyFile:
    """The keys in a file, which is read again when it changes. Safe for several threads."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._entries: dict[str, KeyEntry] = {}
        self._version: tuple[int, int] | None = None
        self._checked = 0.0
        self._lock = threading.Lock()

    def entries(self) -> list[KeyEntry]:
        """Return all keys, oldest first; raises ReadError for a file that is damaged."""
        with self._lock:
            self._read()
            return list(self._entries.values())

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        tenant: str = TENANT,
        per_minute: int | None = None,
        max_documents: int | None = None,
        max_body: int | None = None,
    ) -> str:
        """Create a key and return it; it is not stored, and so cannot be shown again.

        The arguments are the fields of `KeyEntry`. Raises InputError for an empty name, an
        unknown scope, a limit below 1, and a tenant that is not 1 to 64 letters, digits, "_"
        and "-".
        """
        unique_scopes = tuple(dict.fromkeys(scopes))
        if not name.strip():
            raise InputError("A key needs a name", fix="Say who or what it is for.")
        for scope in unique_scopes:
            if scope not in SCOPES:
                raise InputError(f"There is no scope {scope!r}", fix=nearest(scope, SCOPES))
        if not _TENANT.fullmatch(tenant):
            raise InputError(
                f"The tenant cannot be {tenant!r}",
                why="it names a folder",
                fix='Use 1 to 64 letters, digits, "_" and "-", no "-" at the beginning.',
            )
        limits = (per_minute, max_documents, max_body)
        for limit, value in zip(_LIMITS, limits, strict=True):
            if value is not None and value < 1:
                raise InputError(f"{limit} must be at least 1, not {value}")
        key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = f"{_PREFIX}-{key_id}-{secret}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self._read()
            self._entries[key_id] = KeyEntry(
                key_id, name, unique_scopes, _hash(key), created, tenant, *limits
            )
            self._write()
        return key

    def revoke(self, key_id: str) -> None:
        """Remove a key by its id; raises InputError where there is none."""
        with self._lock:
            self._read()
            if key_id not in self._entries:
                raise InputError(
                    f"There is no key {key_id!r}", fix=nearest(key_id, list(self._entries))
                )
            del self._entries[key_id]
            self._write()

    def find(self, key: str | None) -> KeyEntry:
        """Return the entry of a key; raises HttpError (401) for None or an unknown key."""
        entry = None if key is None else self._find(key)
        if entry is None:
            raise HttpError(401, "no key", "the key is missing or not valid")
        return entry

    def _find(self, key: str) -> KeyEntry | None:
        with self._lock:
            if time.monotonic() - self._checked > _RELOAD_SECONDS:
                self._read()
            entry = self._entries.get(key.split("-")[1] if key.count("-") >= 2 else "")
        # In constant time: an unknown key takes as long as a known one.
        stored = "" if entry is None else entry.sha256
        return entry if hmac.compare_digest(stored, _hash(key)) else None

    def _read(self) -> None:
        self._checked = time.monotonic()
        try:
            status = self.file.stat()
        except FileNotFoundError:
            self._entries, self._version = {}, None
            return
        version = (status.st_mtime_ns, status.st_size)
        if version == self._version:
            return
        try:
            content = json.loads(self.file.read_text("utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"its format is {content['format']!r}")
            rows = content["keys"]
            entries = [KeyEntry(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ReadError(
                "The keys cannot be read",
                where=str(self.file),
                why=f"{type(error).__name__}: {error}",
                fix="Restore the file, or make new keys in another.",
            ) from error
        self._entries, self._version = {e.id: e for e in entries}, version

    def _write(self) -> None:
        rows = [asdict(entry) for entry in self._entries.values()]
        text = json.dumps({"format": _FORMAT, "keys": rows}, indent=1) + "\n"
        replace_file(self.file, text, mode=0o600)
        self._version = None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
