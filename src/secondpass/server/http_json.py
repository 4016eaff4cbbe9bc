"""The JSON of a request, read with limits and checked field by field.

Responses can carry any text that a request brought.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Scope

from secondpass.server.http_errors import HttpError, invalid

# Possessive, and a string may end with the body: a string that is never closed is read once,
# not once again from each quote in it.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_OPENING = b"[{"


async def read_content(request: Request, *, most: int) -> bytes:
    """Return a request's body; raises `HttpError` (413) for more than `most` bytes."""
    content = bytearray()
    async for some in request.stream():
        content += some
        if len(content) > most:
            raise HttpError(413, "too large", f"the body is longer than {most:,} bytes")
    return bytes(content)


async def read_bytes(request: Request, *, most: int, depth: int) -> bytes:
    """Return a request's body, which is JSON or nothing; raises `HttpError` as `read_body`."""
    content = await read_content(request, most=most)
    if _too_deep(content, depth):
        raise invalid(f"the JSON is nested deeper than {depth}")
    return content


async def read_body(request: Request, *, most: int, depth: int) -> Body:
    """Return a request's JSON object, whatever its content type says.

    Raises `HttpError`: 413 for more than `most` bytes, 400 for what is no JSON object or
    nested deeper than `depth`.
    """
    content = await read_bytes(request, most=most, depth=depth)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(found, dict):
        raise invalid("the body is not a JSON object")
    return Body(found)


def _too_deep(content: bytes, depth: int) -> bool:
    level = 0
    for match in _BRACKETS.finditer(content):
        mark = match.group()
        if len(mark) == 1:
            level += 1 if mark in _OPENING else -1
            if level > depth:
                return True
    return False


def as_json(scope: Scope) -> Scope:
    """Return a request's scope that lets its body be read as JSON, whatever its type says."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}


class Body:
    """A JSON object; null counts as absent, and keys that nobody asks for do not matter.

    Every method raises `HttpError` (400), naming the key, for a value of another type.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = found

    def has(self, *names: str) -> bool:
        """Return whether there is a key of one of these names, be it null."""
        return any(name in self.found for name in names)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; one without a default must be there."""
        value = self.found.get(name)
        if value is None:
            if default is None:
                raise invalid(f"{name} is missing")
            return default
        if not isinstance(value, str):
            raise invalid(f"{name} must be a string, not {_kind(value)}")
        return value

    def maybe_text(self, name: str) -> str | None:
        """Return a text, or None where there is none."""
        return None if self.found.get(name) is None else self.text(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean."""
        value = self.found.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false, not {_kind(value)}")
        return value

    def count(self, name: str, *, least: int = 1) -> int | None:
        """Return a whole number from `least` up, or None."""
        value = self.found.get(name)
        if value is None:
            return None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least:
            raise invalid(f"{name} must be a whole number from {least} up, not {value!r}"[:200])
        return int(value)

    def part(self, name: str) -> Body:
        """Return an object within, empty where there is none."""
        value = self.found.get(name)
        if value is None:
            return Body({})
        if not isinstance(value, dict):
            raise invalid(f"{name} must be an object, not {_kind(value)}")
        return Body(value)

    def items(self, name: str) -> list[Any]:
        """Return a list, which must be there."""
        value = self.found.get(name)
        if value is None:
            raise invalid(f"{name} is missing")
        if not isinstance(value, list):
            raise invalid(f"{name} must be a list, not {_kind(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of texts, or None."""
        if self.found.get(name) is None:
            return None
        values = self.items(name)
        for position, value in enumerate(values):
            if not isinstance(value, str):
                raise invalid(f"{name}[{position}] must be a string, not {_kind(value)}")
        return tuple(values)


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


class Reply(JSONResponse):
    """A JSON response; lone surrogates, which UTF-8 has no bytes for, are sent as escapes."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
