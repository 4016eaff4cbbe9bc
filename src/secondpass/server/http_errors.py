"""HTTP errors: the status and the message for what goes wrong with a request."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable
from typing import Any

from secondpass.errors import (
    IndexStoreError,
    InputError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    ProviderError,
    RetrieverError,
    SecondpassError,
    TextTooLongError,
)
from secondpass.server.scheduler.queue import (
    ClientDisconnectedError,
    OverloadedError,
    QueueTimeoutError,
)
from secondpass.storage import place_problem


class HttpError(Exception):
    """A request that fails: its status, its message, and when to try again, in seconds.

    `kind` is a short name that dialects translate into their own; logs and metrics have it.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        if self.status == 401:
            return {"www-authenticate": "Bearer"}
        if self.status == 408:
            return {"connection": "close"}
        if self.retry_after is None:
            return {}
        return {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class MethodError(HttpError):
    """A request with a method that its path does not have; `allowed` are those that it has."""

    def __init__(self, method: str, path: str, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        message = f"{method[:20]} is not possible at {path[:200]!r}: it takes {self.allowed}"
        super().__init__(405, "method", message)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        return {"allow": self.allowed}


class UnavailableError(ModelError):
    """The processes that run a model for this server do not answer; the same call may later."""


def invalid(message: str) -> HttpError:
    """Return the error of a request that cannot be used."""
    return HttpError(400, "invalid", message)


def internal_error(error: Exception) -> HttpError:
    """Return the error for an unexpected exception, whose message clients do not get."""
    problem = place_problem(error)
    http_error = (
        HttpError(500, "failed", "something went wrong")
        if problem is None
        else _place_error("the request failed", problem.errno)
    )
    http_error.__cause__ = error
    return http_error


def to_http_error(error: SecondpassError) -> HttpError:
    """Return an error of the package with a status: 4xx for the caller's mistakes, else 5xx."""
    http_error = _translate(error)
    http_error.__cause__ = error
    return http_error


def _translate(error: SecondpassError) -> HttpError:
    if isinstance(error, OverloadedError):
        return HttpError(429, "busy", str(error), retry_after=error.retry_after)
    if isinstance(error, QueueTimeoutError):
        return HttpError(504, "late", str(error))
    if isinstance(error, ClientDisconnectedError):
        return HttpError(499, "gone", str(error))
    if isinstance(error, ModelNotFoundError):
        return HttpError(404, "unknown model", str(error))
    if isinstance(error, MissingExtraError):
        return HttpError(501, "missing", str(error))
    if isinstance(error, TextTooLongError):
        return HttpError(400, "too long", str(error))
    if isinstance(error, InputError):
        return invalid(str(error))
    if isinstance(error, UnavailableError):
        return HttpError(503, "unavailable", str(error), retry_after=1)
    if isinstance(error, ProviderError):
        return HttpError(502, "failed", str(error))
    if isinstance(error, RetrieverError):
        # Without where, which names a host: it is in the logs.
        text = str(SecondpassError(error.what, why=error.why, fix=error.fix))
        return HttpError(504 if error.timeout else 503, "database", text, retry_after=1)
    if isinstance(error, IndexStoreError) and error.errno is not None:
        return _place_error(error.what, error.errno)
    # Without where and why, which name folders of this machine: they are in its logs.
    return HttpError(500, "failed", error.what)


def _place_error(what: str, number: int) -> HttpError:
    """Return the error for a full disk (507), or a folder without access (503).

    For object storage: 403 where it refuses the server, 503 where another process writes to the
    index or it cannot be reached.
    """
    if number == errno.EPERM:
        return HttpError(403, "read only", what)
    if number in (errno.EBUSY, errno.EHOSTUNREACH):
        return HttpError(503, "busy", what, retry_after=1)
    if number == errno.ENOSPC:
        return HttpError(507, "disk full", f"{what}: the disk of the server is full")
    return HttpError(
        503, "not writable", f"{what}: the server may not write to its folder, or not read it"
    )


def default_error(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error body that the clients of Cohere, Jina and Voyage all understand."""
    return {"id": request_id, "message": error.message, "detail": error.message}
