"""What goes wrong with a request, and the HTTP status that says so."""

from __future__ import annotations

import math
from typing import Any

from secondpass.errors import InputError, ModelNotFoundError, ProviderError, SecondpassError
from secondpass.server.scheduler.queue import (
    ClientDisconnectedError,
    OverloadedError,
    QueueTimeoutError,
)


class HttpError(Exception):
    """A request that gets no answer: a status, a text, and headers besides.

    `kind` is a short name that dialects translate into their own.
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


def default_error(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error body that the clients of Cohere, Jina and Voyage all understand."""
    return {"id": request_id, "message": error.message, "detail": error.message}


def invalid(message: str) -> HttpError:
    """Return the problem of a body that cannot be used."""
    return HttpError(400, "invalid", message)


def failure_of(error: Exception) -> HttpError:
    """Return the problem of an error that nobody expected; clients are not told its message."""
    problem = HttpError(500, "failed", "something went wrong")
    problem.__cause__ = error
    return problem


def problem_of(error: SecondpassError) -> HttpError:
    """Return the status of an error: the caller's mistakes are 4xx, all others 5xx."""
    problem = _status_of(error)
    problem.__cause__ = error
    return problem


def _status_of(error: SecondpassError) -> HttpError:
    if isinstance(error, OverloadedError):
        return HttpError(429, "busy", str(error), retry_after=error.retry_after)
    if isinstance(error, QueueTimeoutError):
        return HttpError(504, "late", str(error))
    if isinstance(error, ClientDisconnectedError):
        return HttpError(499, "gone", str(error))
    if isinstance(error, ModelNotFoundError):
        return HttpError(404, "unknown model", str(error))
    if isinstance(error, InputError):
        return invalid(str(error))
    if isinstance(error, ProviderError):
        return HttpError(502, "failed", str(error))
    # Where and why name folders of this machine: they are for its logs.
    return HttpError(500, "failed", error.what)
