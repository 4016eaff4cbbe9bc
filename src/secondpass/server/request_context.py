"""What is known of the request that is being answered, for logs, counts and traces.

One request and what is known of it while it is answered.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from secondpass.server.access.api_keys import ANYBODY, KeyEntry
from secondpass.server.http_errors import HttpError, default_error

if TYPE_CHECKING:
    from secondpass.server.access.api_keys import KeyEntry


@dataclass(slots=True)
class RequestRecord:
    """One request from its headers to the last byte of its answer.

    - `status` is 0 and `first_byte`, in seconds, None before the answer begins.
    - `problem`: the kind of what went wrong; `caller`: who asks, also where it may not.
    - `context`: None where no dialect answers.
    - `trace`: the id of its trace, where traces are made.
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
        """How long it has taken up to now."""
        return time.perf_counter() - self.started


_seen: ContextVar[RequestRecord | None] = ContextVar("seen", default=None)


def current() -> RequestRecord | None:
    """Return the request that is being answered here, also in its threads."""
    return _seen.get()


@contextmanager
def answering_for(seen: RequestRecord) -> Iterator[None]:
    """Let `current` return this request inside."""
    token = _seen.set(seen)
    try:
        yield
    finally:
        _seen.reset(token)


REQUEST_ID = "x-request-id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Fail = Callable[[HttpError, str], Any]
"""Returns the JSON content of an error in a dialect's shape; the text is the request's id."""
Finish = Callable[["RequestContext", Response], Response]
"""Adds headers to a response, also to that of an error."""


def unchanged(context: RequestContext, response: Response) -> Response:
    """Return the response as it is."""
    return response


def request_id(request: Request) -> str:
    """Return the id that a request brought, if it is a plain one, or a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex


@dataclass(slots=True)
class RequestContext:
    """One request: its dialect, its caller, how many documents it asks to score, and its id."""

    request: Request
    dialect: str = "unknown"
    fail: Fail = default_error
    finish: Finish = unchanged
    caller: KeyEntry = ANYBODY
    documents: int = 0
    id: str = ""

    def __post_init__(self) -> None:
        seen = current()
        if seen is not None:
            seen.context = self
        if not self.id:
            self.id = request_id(self.request) if seen is None else seen.id
