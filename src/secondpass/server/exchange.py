"""One request and what is known of it while it is answered."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from secondpass.server.access.api_keys import ANYBODY, KeyEntry
from secondpass.server.http_errors import Problem
from secondpass.server.request_context import current
from secondpass.server.rerank_dialects.responses import message

REQUEST_ID = "x-request-id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Fail = Callable[[Problem, str], Any]
"""Makes JSON of a problem and a request's id, as a dialect has it."""


def request_id(request: Request) -> str:
    """Return the id that a request brought, if it is a plain one, or a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex


@dataclass(slots=True)
class Exchange:
    """One request: who asks whom, by which id, and how much."""

    request: Request
    dialect: str = "unknown"
    fail: Fail = message
    caller: KeyEntry = ANYBODY
    documents: int = 0
    id: str = ""

    def __post_init__(self) -> None:
        seen = current()
        if seen is not None:
            seen.exchange = self
        if not self.id:
            self.id = request_id(self.request) if seen is None else seen.id
