"""Why there is no answer, as the own interface says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Failure:
    """Why there is no answer: a short name, a sentence, and the request's id."""

    error: str
    message: str
    id: str
