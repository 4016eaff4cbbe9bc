"""The context of a request in a dialect, and its record for logs, metrics and traces."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from secondpass.server.access.api_keys import ANYBODY, KeyEntry
from secondpass.server.http_errors import HttpError, default_error

REQUEST_ID = "x-request-id"
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Errors of this server or of one that it calls: they are logged with their traceback.
_LOGGED_STATUSES = (500, 502, 507)
_log = logging.getLogger("secondpass.server")

Fail = Callable[[HttpError, str], Any]
"""Returns the JSON content of an error in a dialect's shape; the text is the request's id."""
Finish = Callable[["RequestContext", Response], Response]
"""Adds headers to a response, also to that of an error."""


def unchanged(context: RequestContext, response: Response) -> Response:
    """Return the response as it is."""
    return response


@dataclass(slots=True)
class RequestContext:
    """One request: its dialect, its caller, how many documents it asks to score, and its id.

    `owner`: the tenant whose share of the server it takes, if not the caller's.
    `ignored` names the fields of the body that changed nothing; `warnings` says why.
    """

    request: Request
    dialect: str = "unknown"
    fail: Fail = default_error
    finish: Finish = unchanged
    statuses: Mapping[str, int] = field(default_factory=dict)
    caller: KeyEntry = ANYBODY
    documents: int = 0
    id: str = ""
    owner: str | None = None
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def tenant(self) -> str:
        """The tenant whose share of the server the request takes."""
        return self.caller.tenant if self.owner is None else self.owner

    def __post_init__(self) -> None:
        record = current_record()
        if record is not None:
            record.context = self
        if not self.id:
            self.id = request_id(self.request) if record is None else record.id


@dataclass(slots=True)
class RequestRecord:
    """One request from its headers to the last byte of its response.

    - `status` is 0 and `first_byte`, in seconds, None before the response begins.
    - `problem`: the kind of the error; `caller`: the owner of the key, even if it was refused.
    - `context`: None where no dialect handles the request.
    - `trace`: the id of its trace, where traces are sent.
    """

    id: str
    method: str
    path: str
    status: int = 0
    first_byte: float | None = None
    problem: str | None = None
    caller: KeyEntry | None = None
    context: RequestContext | None = None
    trace: str | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long the request has taken so far."""
        return time.perf_counter() - self.started


_record: ContextVar[RequestRecord | None] = ContextVar("record", default=None)


def current_record() -> RequestRecord | None:
    """Return the record of the request that is handled here, also in its worker threads."""
    return _record.get()


@contextmanager
def use_record(record: RequestRecord) -> Iterator[None]:
    """Make `current_record` return this record inside."""
    token = _record.set(record)
    try:
        yield
    finally:
        _record.reset(token)


def record_error(error: HttpError) -> None:
    """Record why the current request failed, or its stream broke off."""
    record = current_record()
    if record is not None:
        record.problem = error.kind
    if error.status in _LOGGED_STATUSES or error.kind == "not writable":
        _log.error("the request failed", exc_info=error)


def request_id(request: Request) -> str:
    """Return the id that the client sent, if it is a plain one, or a new one."""
    client_id = request.headers.get(REQUEST_ID, "")
    return client_id if _CLIENT_ID.fullmatch(client_id) else uuid.uuid4().hex
