"""Response envelopes, error responses, and timestamps of the Cloudflare AI Search API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.server.http_errors import HttpError

_CODES: Mapping[str, int] = {
    "invalid": 7001,
    "too many": 7001,
    "too long": 7001,
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
"""Error codes by kind of error; Cloudflare has not published all of its own."""
_OTHER_CODE = 7000


class CodedError(HttpError):
    """An error whose code Cloudflare has published."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, "coded", message)
        self.code = code


class NotRetryableError(HttpError):
    """An error that tells clients not to retry."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        return {**super().headers, "x-should-retry": "false"}


def already_exists(what: str) -> HttpError:
    """Return the 409 error for a name that is taken, such as "instance 'docs'"."""
    return NotRetryableError(409, "exists", f"{what} already exists")


def not_found(what: str) -> HttpError:
    """Return the 404 error for something that does not exist, such as "instance 'docs'"."""
    return HttpError(404, "not found", f"there is no {what}")


def ok(result: Any) -> dict[str, Any]:
    """Return the envelope of a successful response."""
    return {"success": True, "result": result, "errors": [], "messages": []}


def list_page(rows: Sequence[Any], *, page: int, per_page: int, total: int) -> dict[str, Any]:
    """Return the envelope of one page of a list; pages count from 1."""
    counts = {"count": len(rows), "page": page, "per_page": per_page, "total_count": total}
    return {**ok(list(rows)), "result_info": counts}


def fail(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return the envelope of a failed response."""
    code = error.code if isinstance(error, CodedError) else _CODES.get(error.kind, _OTHER_CODE)
    body = {"code": code, "message": clean(error.message)}
    return {"success": False, "errors": [body], "messages": [], "result": None}


def now_ms() -> int:
    """Return the current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def to_iso(milliseconds: int | None) -> str | None:
    """Return a time in the form "2026-01-31T12:00:00.000Z"."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> int | None:
    """Return the milliseconds of an ISO 8601 time, in UTC by default; None if it is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
