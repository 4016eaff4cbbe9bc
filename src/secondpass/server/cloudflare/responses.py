"""What this dialect wraps its answers in, and how it says that there is none.

Moments in milliseconds since 1970, and how they are written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from secondpass.inference.tokenizer import clean
from secondpass.server.http_errors import HttpError

_CODES: Mapping[str, int] = {
    "invalid": 7001,
    "not found": 7002,
    "no index": 7002,
    "exists": 7003,
    "too large": 7004,
    "read only": 7005,
    "starting": 7006,
    "busy": 7007,
    "rate": 7008,
    "late": 7009,
    "no key": 10000,
    "scope": 10001,
}
"""Own numbers, where the service has not published its own."""
_OTHER = 7000


class ErrorCode(HttpError):
    """A problem whose number the service has published."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, "coded", message)
        self.code = code


class Final(HttpError):
    """A problem that sending the request again does not mend, and that says so."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        return {**super().headers, "x-should-retry": "false"}


def exists(what: str) -> HttpError:
    """Return the problem of a name that is taken."""
    return Final(409, "exists", f"{what} is there already")


def missing(what: str) -> HttpError:
    """Return the problem of a name that nothing has."""
    return HttpError(404, "not found", f"there is no {what}")


def ok(result: Any) -> dict[str, Any]:
    """Return an answer."""
    return {"success": True, "result": result, "errors": [], "messages": []}


def listed(rows: Sequence[Any], *, page: int, per_page: int, total: int) -> dict[str, Any]:
    """Return one page of a list."""
    counts = {"count": len(rows), "page": page, "per_page": per_page, "total_count": total}
    return {**ok(list(rows)), "result_info": counts}


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return what a request without an answer gets; `request` is its id."""
    code = problem.code if isinstance(problem, ErrorCode) else _CODES.get(problem.kind, _OTHER)
    error = {"code": code, "message": clean(problem.message)}
    return {"success": False, "errors": [error], "messages": [], "result": None}


def now() -> int:
    """Return this moment."""
    return time.time_ns() // 1_000_000


def iso(moment: int | None) -> str | None:
    """Return a moment as in "2026-01-31T12:00:00.000Z"."""
    if moment is None:
        return None
    found = datetime.fromtimestamp(moment / 1000, UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> int | None:
    """Return the moment that a text names, in UTC where it names no zone, or None."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    try:
        return round(found.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
