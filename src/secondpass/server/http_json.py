"""JSON bodies of requests, read within limits and checked field by field; JSON responses."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Scope

from secondpass.server.http_errors import HttpError, invalid

# Possessive, and a string may end with the body: a string that is never closed is read once,
# not once again from each quote in it.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_OPENING_BRACKETS = b"[{"
MAX_JSON_PARTS = 1_000_000
"""How many brackets and strings a body may have: each costs time that its bytes do not show."""
# A larger body is checked and parsed beside the event loop.
_INLINE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How long a body may be, in bytes, whose limit that is, and how deep its JSON may be."""

    max_bytes: int
    max_depth: int
    whose: str = "this server"

    def too_large(self) -> HttpError:
        """Return the error (413) of a longer body."""
        message = f"the body is longer than {self.max_bytes:,} bytes, the limit of {self.whose}"
        return HttpError(413, "too large", message)


async def raw_bytes(request: Request, limits: BodyLimits) -> bytes:
    """Read the bytes of any body; raises HttpError (413) for too many."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limits.max_bytes:
            raise limits.too_large()
    return bytes(content)


async def json_bytes(request: Request, limits: BodyLimits) -> bytes:
    """Read the bytes of a body that is JSON or empty; raises HttpError as `json_object`.

    Only size, nesting and the number of parts are checked.
    """
    content = await raw_bytes(request, limits)
    if len(content) <= _INLINE_BYTES:
        _check_structure(content, limits.max_depth)
    else:
        await asyncio.to_thread(_check_structure, content, limits.max_depth)
    return content


async def json_object(request: Request, limits: BodyLimits) -> Body:
    """Read a JSON object, whatever the content type is.

    Raises HttpError: 413 for too many bytes or parts, 400 for what is not a JSON object or
    nested too deep.
    """
    content = await json_bytes(request, limits)
    try:
        if len(content) <= _INLINE_BYTES:
            value = json.loads(content)
        else:
            value = await asyncio.to_thread(json.loads, content)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(value, dict):
        raise invalid("the body is not a JSON object")
    return Body(value)


def _check_structure(content: bytes, max_depth: int) -> None:
    depth = 0
    for count, match in enumerate(_BRACKETS.finditer(content)):
        if count >= MAX_JSON_PARTS:
            message = f"the JSON has more than {MAX_JSON_PARTS:,} brackets and strings"
            raise HttpError(413, "too large", message)
        token = match.group()
        if len(token) == 1:
            depth += 1 if token in _OPENING_BRACKETS else -1
            if depth > max_depth:
                raise invalid(f"the JSON is nested deeper than {max_depth}")


def as_json(scope: Scope) -> Scope:
    """Return a scope with the content type of JSON, for a framework that asks for it."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}


class Body:
    """A JSON object; null counts as absent.

    Every method raises HttpError (400), naming the key, for a value of another type.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def has(self, *names: str) -> bool:
        """Return whether the object has one of these keys, null or not."""
        return any(name in self.fields for name in names)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; without a default it is required."""
        value = self.fields.get(name)
        if value is None:
            if default is None:
                raise invalid(f"{name} is missing")
            return default
        if not isinstance(value, str):
            raise invalid(f"{name} must be a string, not {type_name(value)}")
        return value

    def maybe_text(self, name: str) -> str | None:
        """Return a string or None."""
        return None if self.fields.get(name) is None else self.text(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean."""
        value = self.fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false, not {type_name(value)}")
        return value

    def count(self, name: str, *, minimum: int = 1) -> int | None:
        """Return a whole number from `minimum` up, or None."""
        value = self.fields.get(name)
        if value is None:
            return None
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or value < minimum:
            message = f"{name} must be a whole number from {minimum} up, not {value!r}"
            raise invalid(message[:200])
        return int(value)

    def part(self, name: str) -> Body:
        """Return a nested object, an empty one where it is absent."""
        value = self.fields.get(name)
        if value is None:
            return Body({})
        if not isinstance(value, dict):
            raise invalid(f"{name} must be an object, not {type_name(value)}")
        return Body(value)

    def items(self, name: str) -> list[Any]:
        """Return a list, which is required."""
        value = self.fields.get(name)
        if value is None:
            raise invalid(f"{name} is missing")
        if not isinstance(value, list):
            raise invalid(f"{name} must be a list, not {type_name(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings, or None."""
        if self.fields.get(name) is None:
            return None
        values = self.items(name)
        for position, value in enumerate(values):
            if not isinstance(value, str):
                raise invalid(f"{name}[{position}] must be a string, not {type_name(value)}")
        return tuple(values)


def type_name(value: object) -> str:
    """Return what a value is, as errors call it."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


class Reply(JSONResponse):
    """A JSON response of any text: lone surrogates, which UTF-8 cannot encode, are escaped."""

    def render(self, content: Any) -> bytes:
        """Return the body; NaN and infinity, as in a document that is sent back, are null."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            pass
        except ValueError:
            content = _finite(content)
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
