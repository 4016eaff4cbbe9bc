"""API keys: kept as hashes in a file, checked in constant time.

Where clients put their keys: each vendor's has its own header.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
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

_PLAIN = ("x-api-key", "x-auth-key", "x-auth-user-service-key", "api-key")
_SCHEMES = ("bearer", "token")
# KnowledgeSDK's clients refuse keys that do not begin so: it may stand before one of ours.
_VENDORS = ("sk_ks_", "knowledgesdk_live_", "knowledgesdk_test_", "knowledgesdk_")


def key_in(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, or None.

    `Authorization` with the scheme Bearer comes first, then the headers that carry nothing
    but a key. A vendor's prefix before it is left out.
    """
    word, _, key = headers.get("authorization", "").strip().partition(" ")
    if word.lower() in _SCHEMES and key.strip():
        return _own(key.strip())
    return next((_own(headers[name].strip()) for name in _PLAIN if headers.get(name)), None)


def _own(key: str) -> str:
    prefix = next((one for one in _VENDORS if key.startswith(one)), "")
    return key[len(prefix) :]


SCOPES = ("rerank", "search", "write", "admin")
"""What a key may do; "admin" is everything that its tenant may."""
TENANT = "default"
_FORMAT = 1
_PREFIX = "sp"
_LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What is known of a key: not the key.

    - `sha256`: of the whole key, which has 256 random bits: nothing to be guessed from its
      hash.
    - `tenant`: whose indexes it sees, and no others.
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
        """Return whether this key is for it."""
        return scope in self.scopes or "admin" in self.scopes

    def allow(self, scope: str) -> None:
        """Raise Problem 403 for what this key is not for."""
        if not self.may(scope):
            raise HttpError(403, "scope", f"this key is not for {scope}")


ANYBODY = KeyEntry("", "anybody", ("admin",), "", "")
"""Who asks a server that has no keys."""
_LIMITS = ("per_minute", "max_documents", "max_body")
_TENANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


class KeyFile:
    """The keys in a file, read again when the file changes. Safe for several threads."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._entries: dict[str, KeyEntry] = {}
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
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
        """Add a key and return it; it cannot be had a second time.

        The arguments are the fields of `KeyEntry`. Raises InputError for an empty name, a
        scope that there is not, a limit below 1, and a tenant that is not 1 to 64 letters,
        digits, "_" and "-".
        """
        chosen = tuple(dict.fromkeys(scopes))
        if not name.strip():
            raise InputError("A key needs a name", fix="Say who or what it is for.")
        for scope in chosen:
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
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = f"{_PREFIX}-{number}-{secret}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self._read()
            self._entries[number] = KeyEntry(
                number, name, chosen, _hash(key), created, tenant, *limits
            )
            self._write()
        return key

    def revoke(self, number: str) -> None:
        """Remove a key by its id; raises InputError where there is none."""
        with self._lock:
            self._read()
            if number not in self._entries:
                raise InputError(
                    f"There is no key {number!r}", fix=nearest(number, list(self._entries))
                )
            del self._entries[number]
            self._write()

    def find(self, key: str | None) -> KeyEntry:
        """Return the entry of a key; raises Problem 401 for one that there is not."""
        entry = None if key is None else self._find(key)
        if entry is None:
            raise HttpError(401, "no key", "the key is missing or not valid")
        return entry

    def _find(self, key: str) -> KeyEntry | None:
        with self._lock:
            if time.monotonic() - self._looked > _LOOK_AGAIN_SECONDS:
                self._read()
            entry = self._entries.get(key.split("-")[1] if key.count("-") >= 2 else "")
        # A key that is not there takes as long as one that is.
        stored = "" if entry is None else entry.sha256
        return entry if hmac.compare_digest(stored, _hash(key)) else None

    def _read(self) -> None:
        self._looked = time.monotonic()
        try:
            about = self.file.stat()
        except FileNotFoundError:
            self._entries, self._stamp = {}, None
            return
        stamp = (about.st_mtime_ns, about.st_size)
        if stamp == self._stamp:
            return
        try:
            found = json.loads(self.file.read_text("utf-8"))
            if found["format"] != _FORMAT:
                raise ValueError(f"its format is {found['format']!r}")
            rows = found["keys"]
            entries = [KeyEntry(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ReadError(
                "The keys cannot be read",
                where=str(self.file),
                why=f"{type(error).__name__}: {error}",
                fix="Restore the file, or make new keys in another.",
            ) from error
        self._entries, self._stamp = {e.id: e for e in entries}, stamp

    def _write(self) -> None:
        rows = [asdict(entry) for entry in self._entries.values()]
        text = json.dumps({"format": _FORMAT, "keys": rows}, indent=1) + "\n"
        beside = self.file.with_name(f"{self.file.name}.{os.getpid()}.tmp")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(self.file)
        self._stamp = None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
