"""One request and what is known of it while it is answered."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from secondpass.server.dialects.dialect import message
from secondpass.server.keys import ANYBODY, KeyEntry
from secondpass.server.problems import Problem

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
    """One request and its answer: who asks whom, by which id, and what it took.

    `status` is that of the answer, once there is one.
    """

    request: Request
    dialect: str = "unknown"
    fail: Fail = message
    caller: KeyEntry = ANYBODY
    documents: int = 0
    status: int = 0
    id: str = ""
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if not self.id:
            self.id = request_id(self.request)

    @property
    def seconds(self) -> float:
        """How long it has taken up to now."""
        return time.perf_counter() - self.started
