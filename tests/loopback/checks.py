"""Requests are refused here as strictly as a contract allows."""

from __future__ import annotations

from typing import Any


class RefusedError(Exception):
    """A status with a body that becomes JSON (or text, or nothing)."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}


def check(
    body: Any,
    required: dict[str, type],
    optional: dict[str, type | tuple[type, ...]],
    refuse: Any,
) -> None:
    """Refuse a body whose keys or their types are not those of the contract."""
    if not isinstance(body, dict):
        raise refuse(f"the body is a {type(body).__name__}")
    for key, kind in required.items():
        if not isinstance(body.get(key), kind):
            raise refuse(f"{key} is missing or no {kind.__name__}")
    for key, value in body.items():
        if key in required:
            continue
        if key not in optional:
            raise refuse(f"unknown key {key}")
        if isinstance(value, bool) and optional[key] is int:
            raise refuse(f"{key} is a boolean")
        if not isinstance(value, optional[key]):
            raise refuse(f"{key} is {value!r}")


def check_texts(texts: list[Any], most: int, refuse: Any, *, blank: bool = False) -> None:
    """Refuse what is no list of 1 to `most` texts, of which none is blank."""
    if not 1 <= len(texts) <= most:
        raise refuse(f"batch size {len(texts)} > maximum allowed {most}")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise refuse(f"document {position} is no text")
        if not blank and not text.strip():
            raise refuse(f"document {position} is empty")
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise refuse(f"document {position} has a lone surrogate")
